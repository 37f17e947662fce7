"""What the rules that need no scale say of curves: a probability each, as further numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.diagnosis.faults import overfitting, undertrained
from pipeline.diagnosis.history import History
from pipeline.diagnosis.measured import Unmeasured
from pipeline.diagnosis.measured_run import MeasuredRun

if TYPE_CHECKING:
    from pipeline.diagnosis.learned.numbers import Curves

RULES = {"overfitting_rule": overfitting.FAULT, "undertrained_rule": undertrained.FAULT}
MOST_POINTS = 200  # the slopes between all pairs of points take time


def rule_probabilities(curves: Curves) -> dict[str, float]:
    """Return the probability of each rule's finding; nothing where one of the losses is missing."""
    losses = curves.losses
    if len(losses) < 2 or not all(np.isfinite(y).any() for y in losses.values()):
        return {}
    count = len(losses["val"])
    picked = np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS)).round().astype(int))
    run = MeasuredRun(
        History(np.arange(len(picked)), {f"{p}/loss": y[picked] for p, y in losses.items()})
    )
    with np.errstate(invalid="ignore", over="ignore"):
        judged = {name: fault.judged(run) for name, fault in RULES.items()}
    return {n: f.probability for n, f in judged.items() if not isinstance(f, Unmeasured)}
