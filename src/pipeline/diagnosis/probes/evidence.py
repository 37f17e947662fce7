"""Conditions of one probe that hold, and whether they are evidence for or against a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pipeline.diagnosis.measured import probability
from pipeline.diagnosis.record import Condition, ProbeEvidence

# No probe is worth more than nine to one: so it decides open cases and overturns no clear one.
MOST_ODDS = 9.0


def evidence(
    verdict: str, points: Literal["for", "against"], conditions: Sequence[Condition]
) -> ProbeEvidence:
    """Return the evidence of conditions that hold more likely than not.

    Its odds are those of the weakest condition, between 1 / `MOST_ODDS` and `MOST_ODDS`.
    """
    p = probability(tuple(conditions))
    size = min(p / (1 - p), MOST_ODDS) if p < 1 else MOST_ODDS
    return ProbeEvidence(
        verdict=verdict,
        points=points,
        odds=size if points == "for" else 1 / size,
        conditions=tuple(conditions),
    )


def weighed(verdict: str, conditions: Sequence[Condition]) -> ProbeEvidence:
    """Return evidence for the verdict where all conditions hold.

    Else return evidence against it: the opposite of the weakest condition.
    """
    weakest = min(conditions, key=lambda c: c.probability)
    if weakest.probability >= 0.5:
        return evidence(verdict, "for", conditions)
    return evidence(verdict, "against", [opposite(weakest)])


def opposite(c: Condition) -> Condition:
    """Return the condition that the number lies on the other side of its limit."""
    wanted: Literal["above", "below"] = "below" if c.wanted == "above" else "above"
    return replace(c, wanted=wanted, probability=1 - c.probability)
