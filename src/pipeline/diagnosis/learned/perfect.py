"""Parts that are right at every point of a log: nothing was left to learn, or the log rounds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

TINY = 1e-7  # a loss below is as good as zero
ALL_RIGHT = 0.9995  # an accuracy of so much at every point is perfect …
ROUNDED = 0.001  # … where no loss lies above this

Parts = Mapping[str, np.ndarray]


def all_perfect(losses: Parts, accuracies: Parts) -> bool:
    """Return whether every part with a number is perfect: its loss is 0 at every point.

    A loss that is nearly 0 will do where all answers are right.

    losses, accuracies: part → ``[E]``, NaN where there is no number.
    """
    told = _told(losses, accuracies)
    return bool(told) and all(told.values())


def learned_at_start(losses: Parts, accuracies: Parts) -> bool:
    """Return whether the training part is perfect; of a log without it, the validation part."""
    told = _told(losses, accuracies)
    return told.get("train", told.get("val", False))


def _told(losses: Parts, accuracies: Parts) -> dict[str, bool]:
    """Return of each part with a number whether it is perfect."""
    given = {
        part: (_finite(losses.get(part)), _finite(accuracies.get(part)))
        for part in losses.keys() | accuracies.keys()
    }
    return {part: _perfect(*both) for part, both in given.items() if any(map(len, both))}


def _finite(y: np.ndarray | None) -> np.ndarray:
    return np.zeros(0) if y is None else y[np.isfinite(y)]


def _perfect(loss: np.ndarray, accuracy: np.ndarray) -> bool:
    if not len(accuracy):
        return float(loss.max()) <= TINY
    return float(accuracy.min()) >= ALL_RIGHT and float(loss.max(initial=0.0)) <= ROUNDED
