"""Forks at other learning rates: would smaller or larger steps have gone further?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.diagnosis.measured import Measured
from pipeline.diagnosis.probes.evidence import weighed
from pipeline.diagnosis.probes.one_batch import steps_too_small
from pipeline.diagnosis.probes.outcome import FRESH_FACTOR, Outcome
from pipeline.diagnosis.record import Condition, ProbeEvidence

LOWER, HIGHER = (0.1, 0.3), (3.0, 10.0)
# Every run gains something when its steps become smaller at its end.
GAIN_OF_SMALLER_STEPS = 0.2
# A loss that has fallen by less is at rest, as far as its speed is compared.
AT_REST = 0.005


def judge(outcome: Outcome) -> list[ProbeEvidence]:
    """Judge the best of the lower, and the best of the higher rates."""
    lower = [*(_too_high(outcome, f) for f in LOWER), _ruined(outcome)]
    higher = [_too_low(outcome, f) for f in HIGHER]
    return [_strongest(lower), _strongest(higher)]


def _strongest(found: Sequence[ProbeEvidence]) -> ProbeEvidence:
    """The strongest evidence for the verdict; the weakest against it where all are against it."""
    return max(found, key=lambda e: e.odds)


def _too_high(outcome: Outcome, factor: float) -> ProbeEvidence:
    """Smaller steps from the same weights lower the loss by much, and the run's own do not."""
    lower, same = outcome.rates[factor], outcome.rates[1.0]
    words = f"fall of the validation loss in {outcome.length} at {factor:g} of the learning rate"
    falls = [
        outcome.fall(outcome.before, lower, key="lower_rate_fall", words=words),
        outcome.fall(
            same, lower, key="lower_rate_gain", words=f"{words}, relative to its own rate"
        ),
    ]
    conditions = [f.condition("above", GAIN_OF_SMALLER_STEPS, grey=0.05) for f in falls]
    return weighed("learning_rate_too_high", conditions)


def _ruined(outcome: Outcome) -> ProbeEvidence:
    """New weights at a low rate overtake the trained ones in a fraction of the epochs."""
    words = (
        f"validation loss of new weights after {outcome.length} at {FRESH_FACTOR:g} of the "
        "learning rate, below that of the whole run"
    )
    fall = outcome.fall(outcome.before, outcome.fresh, key="new_weights_gain", words=words)
    return weighed("learning_rate_too_high", [fall.condition("above", 0.05, grey=0.02)])


def _too_low(outcome: Outcome, factor: float) -> ProbeEvidence:
    """Larger steps lower the loss much faster, and far."""
    words = f"fall of the validation loss in {outcome.length} at {factor:g} times the learning rate"
    fast = outcome.fall(outcome.before, outcome.rates[factor], key="higher_rate_fall", words=words)
    far = [fast.condition("above", 0.1, grey=0.03)]
    stuck = steps_too_small(outcome.batch)
    if stuck is not None:
        far.append(stuck)
    farthest = max(far, key=lambda c: c.probability)
    return weighed("learning_rate_too_low", [_faster(outcome, fast, factor), farthest])


def _faster(outcome: Outcome, fast: Measured, factor: float) -> Condition:
    slow = outcome.fall(outcome.before, outcome.rates[1.0])
    fast_speed, slow_speed = _log_fall(fast.value), _log_fall(slow.value)
    pace = max(fast_speed, 0.0) / max(slow_speed, AT_REST)
    faster = Measured(
        pace,
        fast.error / max(fast_speed, 1e-9) if pace > 0 else 0.0,
        key="higher_rate_pace",
        words=f"speed at {factor:g} times the learning rate, relative to its own rate",
        unit="×",
        log=True,
    )
    return faster.condition("above", 2.5, grey=0.2)


def _log_fall(fall: float) -> float:
    """Fall of the logarithm of a loss; -inf for a fork that diverged."""
    return -math.log1p(-fall) if fall > -math.inf else -math.inf
