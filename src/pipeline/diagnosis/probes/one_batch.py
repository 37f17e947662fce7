"""A few images again and again: a network that cannot memorize these cannot learn anything."""

from __future__ import annotations

import math

import numpy as np

from pipeline.diagnosis.measured import Measured
from pipeline.diagnosis.probes.evidence import evidence
from pipeline.diagnosis.probes.outcome import Batch, Outcome
from pipeline.diagnosis.record import Condition, ProbeEvidence

STUCK = ("not_learning", "dead_units", "vanishing_gradients")
# Shares of the labels' entropy, which is the loss of answers that ignore the images.
IGNORES_IMAGES, BY_HEART = 0.85, 0.3
_LOSS = "loss of one batch, relative to ignoring its images"


def judge(outcome: Outcome) -> list[ProbeEvidence]:
    """Judge whether the network, as it stands, can use its images.

    Success is no evidence: a network that learns one batch by heart may still be faulty.
    """
    stuck = network_stuck(outcome.batch)
    return [] if stuck is None else [evidence(verdict, "for", [stuck]) for verdict in STUCK]


def network_stuck(batch: Batch) -> Condition | None:
    """Return the condition that no optimizer beats ignoring the images; None where one does."""
    if batch.adam is None or _ignores(batch.own, batch, _LOSS) is None:
        return None
    return _ignores(batch.adam, batch, f"{_LOSS}, by Adam too")


def steps_too_small(batch: Batch) -> Condition | None:
    """Return the condition that only Adam learns the batch, not the run's optimizer; None else."""
    if batch.adam is None or float((batch.adam / batch.entropy).mean()) > BY_HEART:
        return None
    return _ignores(batch.own, batch, f"{_LOSS}, where Adam learns it")


def _ignores(losses: np.ndarray, batch: Batch, words: str) -> Condition | None:
    """The condition that the images are ignored, where it is more likely than not."""
    ratio, error = _ratio(losses, batch)
    measured = Measured(ratio, error, key="one_batch_loss_ratio", words=words, unit="×")
    condition = measured.condition("above", IGNORES_IMAGES, grey=0.05)
    return condition if condition.probability >= 0.5 else None


def _ratio(losses: np.ndarray, batch: Batch) -> tuple[float, float]:
    """Mean over the batches and its standard error; where one diverged, infinity."""
    ratios = losses / batch.entropy
    if not np.all(np.isfinite(ratios)):
        return math.inf, 0.0
    spread = float(ratios.std(ddof=1)) / math.sqrt(len(ratios)) if len(ratios) > 1 else 0.0
    return float(ratios.mean()), spread
