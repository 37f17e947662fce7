"""A few images again and again: whoever cannot learn these by heart cannot learn anything."""

from __future__ import annotations

import math

import numpy as np

from pipeline.diagnosis.finding import Condition, above, below
from pipeline.diagnosis.probes.evidence import Evidence
from pipeline.diagnosis.probes.outcome import Batch, Outcome

STUCK = ("not_learning", "dead_units", "vanishing_gradients")
# Of the labels' entropy, which answers that ignore the images reach.
IGNORES_IMAGES, BY_HEART = 0.85, 0.3


def judge(outcome: Outcome) -> list[Evidence]:
    """Judge whether the network, as it stands, can use its images; that it can refutes nothing."""
    stuck = network_stuck(outcome.batch)
    return [] if stuck is None else [Evidence(v, "for", (stuck,)) for v in STUCK]


def network_stuck(batch: Batch) -> Condition | None:
    """No optimizer drives the loss of one batch below that of ignoring the images; None where one does."""
    if batch.adam is None or _ignored("", batch.own, batch).probability < 0.5:
        return None
    found = _ignored("loss of one batch against ignoring its images, by Adam too", batch.adam, batch)
    return found if found.probability >= 0.5 else None


def steps_too_small(batch: Batch) -> Condition | None:
    """The run's optimizer leaves the loss of one batch where it was, and Adam learns it; None else."""
    if batch.adam is None or float((batch.adam / batch.entropy).mean()) > BY_HEART:
        return None
    found = _ignored("loss of one batch against ignoring its images, where Adam learns it", batch.own, batch)
    return found if found.probability >= 0.5 else None


def learnt(batch: Batch) -> Condition:
    """The run's optimizer learns one batch by heart."""
    ratio, error = _ratio(batch.own, batch)
    return below(
        "loss of one batch against ignoring its images",
        ratio,
        limit=BY_HEART,
        grey=0.3,
        error=error / max(ratio, 1e-9),
        log=True,
        unit="×",
    )


def _ignored(what: str, losses: np.ndarray, batch: Batch) -> Condition:
    ratio, error = _ratio(losses, batch)
    return above(what, ratio, limit=IGNORES_IMAGES, grey=0.05, error=error, unit="×")


def _ratio(losses: np.ndarray, batch: Batch) -> tuple[float, float]:
    """Mean over the batches and its standard error; where one diverged, infinity."""
    ratios = losses / batch.entropy
    if not np.all(np.isfinite(ratios)):
        return math.inf, 0.0
    spread = float(ratios.std(ddof=1)) / math.sqrt(len(ratios)) if len(ratios) > 1 else 0.0
    return float(ratios.mean()), spread
