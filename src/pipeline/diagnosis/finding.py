"""What a rule finds: conditions with numbers, and the probability that all of them hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

_NORMAL = NormalDist()


class Missing(Exception):
    """A rule cannot run: what it needs was not measured. The text names it."""


@dataclass(frozen=True)
class Condition:
    """One number against its limit.

    value, low, high: the number with its 95 % interval.  limit: what it has to pass.
    probability: that the true number passes the limit.  epochs: 1-based, where the number comes from.
    """

    what: str
    value: float
    low: float
    high: float
    limit: float
    wanted: str  # "above" or "below"
    probability: float
    epochs: tuple[int, int] | None = None
    unit: str = ""


@dataclass(frozen=True)
class Finding:
    """A verdict with its evidence: it holds as far as its weakest condition does.

    probed: the probability after short runs have been weighed in (`pipeline.diagnosis.probes`).
    """

    verdict: str
    conditions: tuple[Condition, ...]
    probed: float | None = None

    @property
    def probability(self) -> float:
        """0 … 1."""
        return min(c.probability for c in self.conditions) if self.probed is None else self.probed


def above(
    what: str,
    value: float,
    *,
    limit: float,
    grey: float,
    error: float = 0.0,
    log: bool = False,
    epochs: tuple[int, int] | None = None,
    unit: str = "",
) -> Condition:
    """The condition that a number is above a limit.

    error: standard error of the number.  grey: how far around the limit two careful people would still
    disagree, as a standard deviation.  Both are in the number's unit, or with ``log`` of its natural
    logarithm. The probability is Φ((value - limit) / √(error² + grey²)): noise and judgement add up.
    """
    return _condition(what, value, limit, grey, error, log, 1.0, epochs, unit)


def below(
    what: str,
    value: float,
    *,
    limit: float,
    grey: float,
    error: float = 0.0,
    log: bool = False,
    epochs: tuple[int, int] | None = None,
    unit: str = "",
) -> Condition:
    """The condition that a number is below a limit; see `above`."""
    return _condition(what, value, limit, grey, error, log, -1.0, epochs, unit)


def _condition(
    what: str,
    value: float,
    limit: float,
    grey: float,
    error: float,
    log: bool,
    sign: float,
    epochs: tuple[int, int] | None,
    unit: str,
) -> Condition:
    if math.isnan(value):
        raise Missing(what)
    x, edge = (_log(value), math.log(limit)) if log else (value, limit)
    width = math.hypot(error, grey)
    distance = math.inf if x == math.inf else -math.inf if x == -math.inf else (x - edge) / width
    reach = 1.96 * error
    ends = [math.exp(min(x + s * reach, 700)) if log else x + s * reach for s in (-1, 1)]
    return Condition(
        what=what,
        value=value,
        low=ends[0],
        high=ends[1],
        limit=limit,
        wanted="above" if sign > 0 else "below",
        probability=_cdf(sign * distance),
        epochs=epochs,
        unit=unit,
    )


def either(conditions: Sequence[Condition]) -> Condition:
    """Of several ways to see the same thing, the one that shows it most clearly."""
    if not conditions:
        raise Missing("none of its measurements")
    return max(conditions, key=lambda c: c.probability)


def _log(value: float) -> float:
    return -math.inf if value <= 0 else math.log(value)


def _cdf(z: float) -> float:
    return 1.0 if z == math.inf else 0.0 if z == -math.inf else _NORMAL.cdf(z)
