"""What one probe says about one verdict: conditions that hold, and which way they point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pipeline.diagnosis.finding import Condition

# No probe is worth more than nine to one: it settles what is open, and overturns nothing that is clear.
MOST_ODDS = 9.0


@dataclass(frozen=True)
class Evidence:
    """Conditions that hold more likely than not, for or against a verdict."""

    verdict: str
    points: Literal["for", "against"]
    conditions: tuple[Condition, ...]

    @property
    def probability(self) -> float:
        """That all conditions hold, as far as the weakest does: 0.5 … 1."""
        return min(c.probability for c in self.conditions)

    @property
    def odds(self) -> float:
        """By what the odds of the verdict are multiplied: between 1 / `MOST_ODDS` and `MOST_ODDS`."""
        p = self.probability
        size = min(p / (1 - p), MOST_ODDS) if p < 1 else MOST_ODDS
        return size if self.points == "for" else 1 / size


def weighed(verdict: str, conditions: Sequence[Condition]) -> Evidence:
    """For the verdict where all conditions hold, else against it by the weakest one's opposite."""
    weakest = min(conditions, key=lambda c: c.probability)
    if weakest.probability >= 0.5:
        return Evidence(verdict, "for", tuple(conditions))
    return Evidence(verdict, "against", (opposite(weakest),))


def opposite(c: Condition) -> Condition:
    """The condition that the number lies on the other side of its limit."""
    return replace(c, wanted="below" if c.wanted == "above" else "above", probability=1 - c.probability)
