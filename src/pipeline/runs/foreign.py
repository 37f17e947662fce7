"""The history of a training in any other project: its log, and the file that `Signals` wrote."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.diagnosis import Context, History
from pipeline.errors import DataError
from pipeline.evaluation.signal_file import read_signals
from pipeline.records import SignalRecord

_WAY_OUT = (
    "Name the file that pipeline.training.signals.Signals() wrote: "
    "<default_root_dir>/signals/signals.safetensors"
)


def history_of_signals(path: Path, log: History | None = None) -> History:
    """Return the history of a training whose network was measured by `Signals`.

    The losses and accuracies are those of the measured examples, in evaluation mode, so that both
    parts are alike. Of a log come the curves that the file lacks: the loss that was minimised.

    path: of ``signals.safetensors``.  log: of the same training, as `read_log` reads it.
    Raises `DataError` where the file is missing, damaged or without an epoch, or where the log has
    other epochs.
    """
    record = _read(path)
    trained = record.arrays["epochs"] >= 0
    epochs = record.arrays["epochs"][trained]
    if len(epochs) == 0:
        raise DataError(f"signals={path}: holds no trained epoch. Train for one epoch at least.")
    curves = _curves(record, trained)
    if log is None:
        name = path.parents[1].name if path.parent.name == "signals" else path.stem
        return History(epochs, curves, record, _context(record, Context()), name or "this run")
    _check_epochs(log, epochs, path)
    context = _context(record, log.context)
    return replace(log, curves={**log.curves, **curves}, signals=record, context=context)


def _read(path: Path) -> SignalRecord:
    try:
        record = read_signals(path)
    except DataError as error:
        reason = "there is no such file" if not path.is_file() else "it is not such a file"
        raise DataError(f"signals={path}: {reason}. {_WAY_OUT}") from error
    if "epochs" not in record.arrays:
        raise DataError(f"signals={path}: has no array 'epochs'. {_WAY_OUT}")
    return record


def _curves(record: SignalRecord, trained: np.ndarray) -> dict[str, np.ndarray]:
    """Return the mean cross-entropy and accuracy of the measured examples by epoch."""
    curves = {}
    names = {"cross_entropy": "loss_per_example", "accuracy": "correct"}
    for part in ("train", "val"):
        for curve, array in names.items():
            values = record.arrays.get(f"{part}/{array}")
            if values is not None and values.shape[1]:
                curves[f"{part}/{curve}"] = values[trained].astype(np.float64).mean(axis=1)
    if "learning_rate" in record.arrays:
        curves["learning_rate"] = record.arrays["learning_rate"][trained].astype(np.float64)
    return curves


def _context(record: SignalRecord, known: Context) -> Context:
    """Return what the file tells about the data; what it cannot know stays unknown."""
    labels = record.arrays.get("train/labels", np.empty(0, np.int64))
    shares = np.bincount(labels)[np.unique(labels)] / len(labels) if len(labels) else None
    num_classes = json.loads(record.metadata.get("num_classes", "null"))
    return replace(
        known,
        num_classes=known.num_classes or num_classes,
        prior_entropy=None if shares is None else float(-(shares * np.log(shares)).sum()),
        num_val=known.num_val or len(record.arrays.get("val/labels", ())) or None,
        train_curve="evaluation",
    )


def _check_epochs(log: History, epochs: np.ndarray, path: Path) -> None:
    if not np.array_equal(log.epochs, epochs):
        raise DataError(
            f"signals={path}: has {len(epochs)} epochs, {_span(epochs)}, and the log has "
            f"{len(log.epochs)}, {_span(log.epochs)}: they are not of one training. Name the log "
            "of the same training, or leave history= out."
        )


def _span(epochs: np.ndarray) -> str:
    return f"{int(epochs[0]) + 1} … {int(epochs[-1]) + 1}"
