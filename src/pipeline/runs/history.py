"""The history of a run: from its files in ``results/<name>/``, or from its record in MLflow."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.data.store import load_card
from pipeline.diagnosis import Context, History
from pipeline.diagnosis.readers import history_of
from pipeline.errors import DataError
from pipeline.evaluation.model_description import DESCRIPTION, ModelDescription
from pipeline.evaluation.signal_file import read_signals
from pipeline.evaluation.tables import read_history_csv
from pipeline.records import EpochRecord, SignalRecord, best_epoch
from pipeline.runs.files import (
    CONFIG_FILE,
    HISTORY_FILE,
    SIGNALS_FILE,
    RunFiles,
    read_settings,
)
from pipeline.tracking import MODEL_TAG, missing_files, read_artifact, read_tags, read_tracked

_OTHER_RUN = "Its artifact in MLflow is damaged. Choose another run."


@dataclass(frozen=True)
class StoredRun:
    """A run as its files describe it.

    model: of the same run; None where the run diverged, or where the model is not there.
    """

    history: History
    model: ModelDescription | None


def read_run(name: str, *, root: Path, output: Path | None = None) -> StoredRun:
    """Read ``results/<name>/`` and the description in ``models/<name>/``.

    output: the folder that the run wrote into, if not the root: the folder of a sweep's trial.
    Raises `DataError` where the run has no history, or a file is damaged or of another run.
    """
    files = RunFiles(output or root, name)
    rows, signals = files.read_history(), files.read_signals()
    model = None if diverged(rows) else files.read_description()
    settings = files.read_config() or (model.settings if model else {})
    if model and model.settings != settings:
        raise DataError(
            f"{files.model / DESCRIPTION}: of another run than "
            f"{files.results / CONFIG_FILE}. Train it again: pipeline train name={name}"
        )
    context = _context(
        settings,
        kept_epoch=model.summary.kept_epoch - 1 if model else None,
        num_classes=len(model.class_names) if model else _num_classes(signals),
        root=root,
    )
    return StoredRun(History.of(rows, signals, context, name=name), model)


def tracked_history(run_id: str, *, num_classes: int | None, uri: str, root: Path) -> History:
    """Return the history of any run of an MLflow store.

    Settings and signals are known only of a run of this project that has ended. Where the files of
    such a run are missing, a line on standard error says so.
    """
    name, points = read_tracked(run_id, uri=uri, root=root)
    with TemporaryDirectory() as folder:
        fetched = {
            file: read_artifact(run_id, file, uri=uri, root=root, folder=Path(folder))
            for file in (HISTORY_FILE, SIGNALS_FILE, CONFIG_FILE)
        }
        files = {file: path for file, path in fetched.items() if path}
        if len(files) == len(fetched):
            return _history_of_files(files, name, root=root)
    if MODEL_TAG in read_tags(run_id, uri=uri, root=root):
        missing = ", ".join(sorted(set(fetched) - set(files)))
        print(
            f"warning: run={run_id}: judged by its curves alone, without settings and signals: "
            f"{missing} cannot be read. {missing_files(run_id, uri=uri, root=root) or ''}".rstrip(),
            file=sys.stderr,
        )
    return history_of(points, context=Context(num_classes=num_classes), name=name)


def diverged(rows: Sequence[EpochRecord]) -> bool:
    """Whether the last epoch has a loss that is not finite; such a run leaves no model."""
    last = rows[-1].metrics if rows else {}
    losses = (last.get(name, 0.0) for name in ("train/objective", "train/loss", "val/loss"))
    return not all(map(math.isfinite, losses))


def _context(
    settings: Mapping[str, Any], *, kept_epoch: int | None, num_classes: int | None, root: Path
) -> Context:
    """The context of a run of our own: from its data's card, or else without one."""
    if settings:
        data = root / "data" / "processed" / settings["data"]["name"]
        if (data / "card.json").is_file():
            return Context.of(load_card(data), settings, kept_epoch=kept_epoch)
    return Context(
        num_classes=num_classes,
        kept_epoch=kept_epoch,
        settings=settings,
        train_curve="evaluation",
    )


def _num_classes(signals: SignalRecord | None) -> int | None:
    known = signals.metadata.get("num_classes") if signals else None
    return None if known is None else int(known)


def _history_of_files(files: Mapping[str, Path], name: str, *, root: Path) -> History:
    """The history of a tracked run of our own, from its artifacts by name."""
    recorded = read_settings(files[CONFIG_FILE], way_out=_OTHER_RUN)
    settings, sha256 = recorded.values, recorded.sha256
    rows = read_history_csv(files[HISTORY_FILE], sha256=sha256.get(HISTORY_FILE))
    signals = read_signals(files[SIGNALS_FILE], sha256=sha256.get(SIGNALS_FILE))
    context = _context(
        settings,
        kept_epoch=_best_kept(rows, settings),
        num_classes=_num_classes(signals),
        root=root,
    )
    return History.of(rows, signals, context, name=name)


def _best_kept(rows: Sequence[EpochRecord], settings: Mapping[str, Any]) -> int | None:
    """The epoch that ``trainer.keep=best`` keeps; None for the last one, or after a divergence."""
    if settings["trainer"]["keep"] != "best" or diverged(rows):
        return None
    best = best_epoch(rows)
    return best.epoch if best else None
