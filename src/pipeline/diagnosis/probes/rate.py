"""Forks at other learning rates: would smaller or larger steps have gone further?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.diagnosis.finding import Condition, above, either
from pipeline.diagnosis.probes.evidence import Evidence, weighed
from pipeline.diagnosis.probes.one_batch import steps_too_small
from pipeline.diagnosis.probes.outcome import FRESH_FACTOR, Outcome

LOWER, HIGHER = (0.1, 0.3), (3.0, 10.0)
# Every run gains something when its steps become smaller at its end.
GAIN_OF_SMALLER_STEPS = 0.2
# A loss that has fallen by less is at rest, as far as its speed is compared.
AT_REST = 0.005


def judge(outcome: Outcome) -> list[Evidence]:
    """Judge the best of the lower, and the best of the higher rates."""
    lower = [*(_too_high(outcome, f) for f in LOWER), _ruined(outcome)]
    return [_best(lower), _best([_too_low(outcome, f) for f in HIGHER])]


def _best(found: Sequence[Evidence]) -> Evidence:
    """The one that speaks most for its verdict; where all speak against it, the one that does so least."""
    return max(found, key=lambda e: e.odds)


def _too_high(outcome: Outcome, factor: float) -> Evidence:
    """Smaller steps from the same weights lower the loss by much, and training on as it was does not."""
    lower, same = outcome.rates[factor], outcome.rates[1.0]
    what = f"fall of the validation loss in {outcome.length} at {factor:g} of the learning rate"
    falls = {what: outcome.fall(outcome.before, lower), f"{what}, against its own": outcome.fall(same, lower)}
    return weighed(
        "learning_rate_too_high",
        [
            above(name, fall.value, limit=GAIN_OF_SMALLER_STEPS, grey=0.05, error=fall.error)
            for name, fall in falls.items()
        ],
    )


def _ruined(outcome: Outcome) -> Evidence:
    """New weights at a low rate overtake, in a fraction of the epochs, weights that no small step repairs."""
    fall = outcome.fall(outcome.before, outcome.fresh)
    condition = above(
        f"validation loss of new weights after {outcome.length} at {FRESH_FACTOR:g} of the learning "
        "rate, below that of the whole run",
        fall.value,
        limit=0.05,
        grey=0.02,
        error=fall.error,
    )
    return weighed("learning_rate_too_high", [condition])


def _too_low(outcome: Outcome, factor: float) -> Evidence:
    """Larger steps go down much faster, and far."""
    higher, same = outcome.rates[factor], outcome.rates[1.0]
    fast = outcome.fall(outcome.before, higher)
    slow = outcome.fall(outcome.before, same)
    falls = [-math.log1p(-f.value) if f.value > -math.inf else -math.inf for f in (fast, slow)]
    pace = max(falls[0], 0.0) / max(falls[1], AT_REST)
    error = fast.error / max(falls[0], 1e-9) if pace > 0 else 0.0
    faster = above(
        f"pace at {factor:g} times the learning rate against its own",
        pace,
        limit=2.5,
        grey=0.2,
        error=error,
        log=True,
        unit="×",
    )
    far: list[Condition] = [
        above(
            f"fall of the validation loss in {outcome.length} at {factor:g} times the learning rate",
            fast.value,
            limit=0.1,
            grey=0.03,
            error=fast.error,
        )
    ]
    stuck = steps_too_small(outcome.batch)
    return weighed("learning_rate_too_low", [faster, either([*far, *([stuck] if stuck else [])])])
