"""A finished run that is to train longer: its last checkpoint, and whether going on is exact."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import RunConfig
from pipeline.config.lightning import attached
from pipeline.errors import ConfigError, DataError
from pipeline.evaluation.model_description import ModelDescription
from pipeline.files import sealed, unsealed, write_atomically
from pipeline.records import DataCard
from pipeline.runs import names
from pipeline.runs.provenance import resume_key
from pipeline.training.checkpoints import LAST, NOTE, ResumeFolder

CONTINUES = "pipeline.continues"  # tag: the key of the run whose epochs come first in this one
LENGTH = "trainer.max_epochs"
# Their learning rate at each step depends on the length of the whole training.
OF_ONE_LENGTH = ("cosine", "onecycle")
_AVERAGING = ("WeightsOfLastEpochs", "StochasticWeightAveraging")
_STOPS = ("max_steps", "max_time")
_OURS = ("pipeline.", "torch.", "torchvision.", "torchmetrics.", "pytorch_lightning.")


@dataclass(frozen=True)
class FirstPart:
    """A finished run whose epochs are the first ones of a longer run.

    run: the key of its record; empty without tracking.  notes: what cannot be known.
    """

    checkpoint: Path
    num_epochs: int
    run: str
    notes: tuple[str, ...]


def first_part(config: RunConfig, card: DataCard, *, root: Path) -> FirstPart | None:
    """Return the finished run of this name, where the settings differ in more epochs alone.

    Raises `ConfigError` where a longer run would not begin with the epochs of the finished one, or
    where its checkpoint is gone.
    """
    name = config.settings.name
    model = names.recorded(name, root=root)
    if model is None or names.differing_keys(model.settings, config.values) != [LENGTH]:
        return None
    before, now = model.settings["trainer"]["max_epochs"], config.settings.trainer.max_epochs
    if now <= before:
        return None
    folder = _folder(name, root)
    note = _read_note(folder)
    reasons = [
        *_reasons(config, model, before),
        *_gone(note, folder, model, _key(config, card, root)),
    ]
    if reasons:
        raise ConfigError(
            f"{LENGTH}={now}: {name} cannot go on from its {before} epochs: {reasons[0]}. Train "
            f"anew: name={names.free_name(name, root=root)} keeps both, overwrite=true replaces it"
        )
    return FirstPart(folder / LAST, int(note["epochs"]), str(note["run"]), tuple(_notes(config)))


def begin_with(part: FirstPart, resume: ResumeFolder) -> None:
    """Put the checkpoint of the finished run into the folder of the longer one."""
    if resume.last is not None:  # the longer run was killed, and has a later one
        return
    resume.folder.mkdir(parents=True, exist_ok=True)
    partial = resume.folder / f"{LAST}.partial"
    shutil.copyfile(part.checkpoint, partial)
    partial.replace(resume.folder / LAST)


def keep(
    resume: ResumeFolder,
    config: RunConfig,
    card: DataCard,
    *,
    epochs: int,
    run: str,
    weights_sha256: str,
    root: Path,
) -> None:
    """Keep the last checkpoint of a run that has reached its end, one for each name."""
    if resume.last is None:
        return
    folder = _folder(config.settings.name, root)
    note = {
        "key": _key(config, card, root),
        "epochs": epochs,
        "run": run,
        "weights": weights_sha256,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / NOTE).unlink(missing_ok=True)  # it never stands beside another checkpoint
        resume.last.replace(folder / LAST)
        write_atomically(folder / NOTE, sealed(json.dumps(note, indent=2) + "\n"))
    except OSError as error:  # the run has its result all the same
        shutil.rmtree(folder, ignore_errors=True)
        print(
            f"note: {folder}: {error.strerror}. So a longer training of this name begins anew.",
            file=sys.stderr,
        )


def _folder(name: str, root: Path) -> Path:
    return root / "checkpoints" / "finished" / name


def _key(config: RunConfig, card: DataCard, root: Path) -> str:
    """Return a hash of everything that decides the weights, but the length of the training."""
    trainer = {k: v for k, v in config.values["trainer"].items() if k != "max_epochs"}
    return resume_key({**config.values, "trainer": trainer}, card, root=root)


def _read_note(folder: Path) -> Mapping[str, Any]:
    """Return the note of a finished run; empty where there is none that can be trusted."""
    path = folder / NOTE
    try:
        content = path.read_bytes()
        text = unsealed(content, path, way_out="")
        return {} if text is content else dict(json.loads(text))  # it has always had a hash
    except (OSError, ValueError, TypeError, DataError):
        return {}


def _reasons(config: RunConfig, model: ModelDescription, before: int) -> Iterator[str]:
    """Yield why the first epochs of a longer run are others than those of the finished one."""
    settings, trained = config.settings, model.summary.epochs
    if settings.schedule.name in OF_ONE_LENGTH:
        yield (
            f"schedule={settings.schedule.name} has other learning rates from the first step on "
            "where a training is longer (constant, step and plateau do not)"
        )
    for key, node in attached(settings).items():
        if str(node["_target_"]).rpartition(".")[2] in _AVERAGING:
            yield f"{key} begins its mean at a share of all epochs"
    if stop := next((k for k in _STOPS if k in (settings.trainer.extra or {})), None):
        yield f"trainer.extra.{stop} ends it within an epoch"
    if trained < before:
        yield (
            f"it stopped by itself after {trained} epochs, and a longer one would too "
            "(trainer.early_stopping_patience)"
        )


def _gone(
    note: Mapping[str, Any], folder: Path, model: ModelDescription, key: str
) -> Iterator[str]:
    if not note or not (folder / LAST).is_file():
        yield f"its last checkpoint is not in {folder.parent.parent.name}/finished/{folder.name}"
    elif note["key"] != key or note["weights"] != model.weights_sha256:
        yield "its checkpoint is of other data, or of another run of this name"


def _notes(config: RunConfig) -> Iterator[str]:
    """Yield what a person's own code may do with the length, which nobody can know here."""
    targets = [str(node["_target_"]) for node in attached(config.settings).values()]
    for target in (config.settings.model.target, *targets):
        if not target.startswith(_OURS):
            yield (
                f"note: whether {target} does anything by trainer.max_epochs cannot be known. If "
                "it does, the weights differ from those of one long training."
            )
