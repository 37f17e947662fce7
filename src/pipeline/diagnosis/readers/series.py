"""Named points by epoch, from any source → a `History`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import numpy as np

from pipeline.diagnosis.history import CURVES, Context, History
from pipeline.diagnosis.readers.names import SYNONYMS, matched
from pipeline.errors import DataError

Points = Sequence[tuple[float, float]]


def history_of(columns: Mapping[str, Points], *, context: Context, name: str) -> History:
    """Make a history of ``{name: [(epoch or step, value), …]}``, each in any order.

    The points of validation (else those of the training loss) are the epochs, counted from 0 in their
    order; every other curve gives each epoch its last point since the one before.
    Raises `DataError` where no name is known, an accuracy is in percent, or a point stands twice.
    """
    found = matched(columns)
    if not any(curve.endswith(("loss", "cross_entropy", "accuracy")) for curve in found):
        raise DataError(_unknown(name, list(columns)))
    curves = {curve: _sorted(columns[column], column, name) for curve, column in found.items()}
    for curve in ("train/accuracy", "val/accuracy"):
        values = [v for _, v in curves.get(curve, [])]
        if values and np.nanmax(values) > 1.0:
            raise DataError(
                f"{name}: {found[curve]} reaches {np.nanmax(values):g}, but an accuracy is a share from 0 to 1. "
                "Divide it by 100 where it is in percent."
            )
    axis = _axis(curves)
    return History(
        epochs=np.arange(len(axis), dtype=np.int64),
        curves={curve: _on(axis, points) for curve, points in curves.items()},
        context=context,
        name=name,
    )


def _axis(curves: Mapping[str, Points]) -> list[float]:
    for curve in ("val/loss", "val/cross_entropy", "val/accuracy", *CURVES):
        if curves.get(curve):
            return [x for x, _ in curves[curve]]
    return []


def _on(axis: Sequence[float], points: Points) -> np.ndarray:
    """The last point of each interval that ends at an axis point; NaN where there is none."""
    values, before, rest = np.full(len(axis), np.nan), -np.inf, list(points)
    for index, end in enumerate(axis):
        inside = [v for x, v in rest if before < x <= end]
        if inside:
            values[index] = inside[-1]
        before = end
    return values


def _sorted(points: Points, column: str, name: str) -> Points:
    ordered = sorted(points, key=lambda p: p[0])
    steps = [x for x, _ in ordered]
    twice = next((x for x, y in itertools.pairwise(steps) if x == y), None)
    if twice is not None:
        raise DataError(
            f"{name}: {column} has two values at {twice:g}. Two histories may be mixed; give one."
        )
    return ordered


def _unknown(name: str, columns: Sequence[str]) -> str:
    known = [
        s for listed in SYNONYMS.values() for synonym in listed for s in {synonym, synonym.replace("/", "_")}
    ]
    near = next((m for c in columns for m in get_close_matches(c.lower(), known, n=1)), None)
    hint = f" Did you mean {near}?" if near else ""
    listed = ", ".join(columns[:12]) or "nothing"
    return (
        f"{name}: no known curve among {listed}.{hint} Known are train_loss, val_loss, train_accuracy, "
        "val_accuracy, learning_rate, Keras' loss and val_loss, and the names of docs/histories.md. Rename a column."
    )
