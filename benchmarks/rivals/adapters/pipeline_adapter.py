"""The pipeline itself: one verdict with a confidence. It reads all curves, and is told no more."""

from __future__ import annotations

import numpy as np
from protocol import FAMILY_OF, Curves, Verdict, main

from pipeline.diagnosis import History, diagnose

UNDETERMINED = "undetermined"
# Verdicts that are finer than the labels; every other one is a label itself.
FINER = {
    "over_regularized": "underfitting",
    "exploding_gradients": "learning_rate_too_high",
    "dead_units": "not_learning",
    "vanishing_gradients": "not_learning",
}
NAMES = {
    "train_loss": "train/loss",
    "val_loss": "val/loss",
    "train_accuracy": "train/accuracy",
    "val_accuracy": "val/accuracy",
    "learning_rate": "learning_rate",
}


def history_of(curves: Curves) -> History:
    """Return the curves as a history, as its readers do.

    NaN where an epoch has no number, and infinite where a loss was logged as "nan".
    """
    num_epochs = max(map(len, curves.values()))
    arrays = {}
    for name, values in curves.items():
        arrays[NAMES[name]] = np.full(num_epochs, np.nan)
        lost = np.inf if name.endswith("loss") else np.nan
        numbers = [np.nan if v is None else lost if np.isnan(v) else v for v in values]
        arrays[NAMES[name]][: len(values)] = numbers
    return History(epochs=np.arange(num_epochs), curves=arrays)


def judged(curves: Curves) -> Verdict:
    """Return the diagnosis of the curves alone, as one of the labels.

    Of an open verdict a family may be certain all the same: then it counts, and no fault does.
    """
    found = diagnose(history_of(curves))
    label = FINER.get(found.verdict, found.verdict)
    if label == UNDETERMINED and found.family:
        sure = found.family_confidence
        return Verdict(found.verdict, found.family, None, sure, found.reason, own_family=True)
    if label == UNDETERMINED:
        return Verdict(found.verdict, confidence=found.confidence, reason=found.reason)
    if label not in FAMILY_OF:
        raise KeyError(f"{label!r} is no known verdict: name its fault in FINER")
    return Verdict(found.verdict, found.family, label, found.confidence, own_family=True)


if __name__ == "__main__":
    main(judged)
