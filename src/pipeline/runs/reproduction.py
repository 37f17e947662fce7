"""A recorded run trained again: its configuration, and the comparison with the new run."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.config import RunConfig
from pipeline.config.validate import validate
from pipeline.data.store import load_card
from pipeline.errors import ConfigError, DataError
from pipeline.evaluation.model_description import read_description
from pipeline.evaluation.tables import read_history_csv
from pipeline.records import EpochRecord
from pipeline.runs import names, provenance
from pipeline.runs.files import CONFIG_FILE, HISTORY_FILE, RunFiles, read_settings
from pipeline.tracking import MODEL_TAG, missing_files, read_artifact, read_tags

# Tags that decide the bits of the weights beside settings and data, each with the way back to it.
_WAYS_BACK = {
    "mlflow.source.git.commit": "the code: git checkout {}",
    "environment.lock.sha256": "the packages: requirements.lock of that commit",
}
# Parts of a training's summary that decide the bits of the weights.
_DECIDING = ("accelerator", "precision", "channels_last", "num_threads", "one_thread_from")
_TRAINING_TAG = "training."
LONGEST_BASE = 85  # letters of the run's name: a name may have 100


@dataclass(frozen=True)
class RecordedRun:
    """A run as its files or its record in MLflow describe it.

    settings: resolved values.  summary: how and on what it was trained, as text.
    tags: of the run in MLflow; empty for a run that is read from the model's files.
    """

    name: str
    settings: Mapping[str, Any]
    data_sha256: str
    weights_sha256: str
    history: Sequence[EpochRecord]
    summary: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Reproduction:
    """The comparison of a recorded run with the same run trained again.

    name: of the new run.  same_weights: equal bit for bit.
    differing: metrics of the last epoch that are not equal, ``{name: (then, now)}``.
    reasons: differences in code, packages, and hardware settings, in words.
    """

    name: str
    same_weights: bool
    differing: Mapping[str, tuple[float, float]]
    reasons: Sequence[str]


def recorded_model(name: str, *, root: Path) -> RecordedRun:
    """Read the run that made ``models/<name>/``.

    Raises `DataError` where the model or its history is missing or damaged.
    """
    folder = root / "models" / name
    if not folder.is_dir():
        raise DataError(
            f"{folder}: there is no such model. Name one under models/, or an MLflow run: run=<id>"
        )
    model = read_description(folder)
    return RecordedRun(
        name=name,
        settings=model.settings,
        data_sha256=model.data_sha256,
        weights_sha256=model.weights_sha256,
        history=RunFiles(root, name).read_history(),
        summary={key: str(value) for key, value in vars(model.summary).items()},
        tags={},
    )


def recorded_run(run_id: str, *, uri: str, root: Path) -> RecordedRun:
    """Read a run of an MLflow store.

    Raises `TrackingError` where the store has no such run, and `DataError` where the run made no
    model with this pipeline.
    """
    tags = read_tags(run_id, uri=uri, root=root)
    with TemporaryDirectory() as folder:
        config, history = (
            read_artifact(run_id, name, uri=uri, root=root, folder=Path(folder))
            for name in (CONFIG_FILE, HISTORY_FILE)
        )
        if config is None or history is None or MODEL_TAG not in tags:
            way_out = missing_files(run_id, uri=uri, root=root) if MODEL_TAG in tags else None
            raise DataError(
                f"run={run_id}: holds no configuration, history and model of this pipeline, so it "
                f"cannot be trained again. {way_out or 'Choose a run that ended as FINISHED.'}"
            )
        way_out = "Its artifact in MLflow is damaged. Choose another run."
        recorded = read_settings(config, way_out=way_out)
        settings = recorded.values
        rows = read_history_csv(history, sha256=recorded.sha256.get(HISTORY_FILE))
    return RecordedRun(
        name=str(settings["name"]),
        settings=settings,
        data_sha256=tags["data.sha256"],
        weights_sha256=tags[MODEL_TAG],
        history=rows,
        summary={
            tag.removeprefix(_TRAINING_TAG): value
            for tag, value in tags.items()
            if tag.startswith(_TRAINING_TAG)
        },
        tags=tags,
    )


def config_again(recorded: RecordedRun, *, root: Path) -> RunConfig:
    """Return the configuration that trains the run again, under the name ``<name>_again``.

    A number follows where a model of other settings has that name.
    Raises `DataError` where the prepared data is not the data of the run: other data gives other
    weights.  Raises `ConfigError` where this version does not accept the run's settings.
    """
    card = load_card(root / "data" / "processed" / str(recorded.settings["data"]["name"]))
    present = provenance.data_sha256(card)
    if present != recorded.data_sha256:
        raise DataError(
            f"data/processed/{card.name}: its hash is {present[:12]}…, but the run was trained on "
            f"{recorded.data_sha256[:12]}…. Prepare the data as it was: "
            "pipeline preprocess with the run's data."
        )
    values = dict(recorded.settings)
    values["trainer"] = {**values["trainer"], **_threads_of(recorded)}
    values["name"] = _name_for(values, root=root)
    try:
        return RunConfig(validate(values), values)
    except ConfigError as error:
        commit = recorded.tags.get("mlflow.source.git.commit")
        way_out = f" Another version made the run: git checkout {commit}" if commit else ""
        raise ConfigError(f"{error}{way_out}") from error


def _name_for(values: Mapping[str, Any], *, root: Path) -> str:
    """Return the first name under which no model of other settings lies."""
    base = f"{str(values['name'])[:LONGEST_BASE]}_again"

    def is_free(name: str) -> bool:
        model = names.recorded(name, root=root)
        return model is None or not names.differing_keys(model.settings, values)

    return next(filter(is_free, chain([base], (f"{base}_{number}" for number in count(2)))))


def _threads_of(recorded: RecordedRun) -> dict[str, int]:
    """Return the setting for as many threads as the run had, where this machine has them.

    The last bits may depend on the number, and a training may choose it.
    """
    number = recorded.summary.get("num_threads", "")
    fits = number.isdigit() and int(number) <= (os.cpu_count() or 1)
    return {"num_threads": int(number)} if fits else {}


def compare_with_record(recorded: RecordedRun, again: RunConfig, *, root: Path) -> Reproduction:
    """Compare a recorded run with the run that `config_again` described, once it is trained."""
    name = again.settings.name
    now = recorded_model(name, root=root)
    card = load_card(root / "data" / "processed" / again.settings.data.name)
    tags = provenance.tags(again.values, card, root=root)
    return Reproduction(
        name=name,
        same_weights=now.weights_sha256 == recorded.weights_sha256,
        differing=_differing_metrics(recorded.history, now.history),
        reasons=[
            *_other_summary(recorded.summary, now.summary),
            *_other_origin(recorded.tags, tags),
        ],
    )


def _differing_metrics(
    then: Sequence[EpochRecord], now: Sequence[EpochRecord]
) -> dict[str, tuple[float, float]]:
    """Metrics of the last epoch that are not equal; times never are, so they do not count."""
    before, after = then[-1].metrics, now[-1].metrics
    shared = [name for name in before if name in after and not name.startswith("time/")]
    return {
        name: (before[name], after[name]) for name in shared if not _same(before[name], after[name])
    }


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def _other_summary(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [
        f"{key}: {then[key]} then, {now[key]} now"
        for key in _DECIDING
        if key in then and then[key] != now[key]
    ]


def _other_origin(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    reasons = [
        way_back.format(then[tag])
        for tag, way_back in _WAYS_BACK.items()
        if tag in then and then[tag] != now.get(tag)
    ]
    if then.get("git.dirty") == "true":
        reasons.append("the code had changes that were not committed")
    return reasons
