"""A measured number, the condition that it passes a limit, and the ways to join conditions.

A number that cannot be measured is an `Unmeasured`; it passes through every function here, so that
a fault is written without handling it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from statistics import NormalDist
from typing import Concatenate, Literal, ParamSpec

from pipeline.diagnosis.measured_run import MeasuredRun, Missing
from pipeline.diagnosis.record import Condition, Span

_NORMAL = NormalDist()
# Of a normal number, 95 % lie within so many standard deviations of the mean.
NORMAL_95 = 1.96
P = ParamSpec("P")


@dataclass(frozen=True)
class Unmeasured:
    """A number that the history does not give. needs: what would be needed, for people."""

    needs: str

    def above(self, limit: float, *, grey: float) -> Unmeasured:
        """As `Measured.above`."""
        return self

    def below(self, limit: float, *, grey: float) -> Unmeasured:
        """As `Measured.below`."""
        return self


# One or more conditions that hold together, or the reason why they cannot be judged.
Claim = tuple[Condition, ...] | Unmeasured


@dataclass(frozen=True)
class Measured:
    """A number with its standard error.

    error: of the natural logarithm where ``log``.
    log: compare the natural logarithms of number and limit.
    epochs: first and last epoch (1-based) that the number comes from.
    key: stable name.  words: the same for people.  unit: as in `Condition`.
    """

    value: float
    error: float = 0.0
    epochs: Span | None = None
    key: str = ""
    words: str = ""
    unit: str = ""
    log: bool = False

    def above(self, limit: float, *, grey: float) -> Claim:
        """Claim that the number is above a limit; see `condition`."""
        return self._claim("above", limit, grey)

    def below(self, limit: float, *, grey: float) -> Claim:
        """Claim that the number is below a limit; see `condition`."""
        return self._claim("below", limit, grey)

    def _claim(self, wanted: Literal["above", "below"], limit: float, grey: float) -> Claim:
        if math.isnan(self.value):
            return Unmeasured(self.words)
        return (self.condition(wanted, limit, grey=grey),)

    def condition(
        self, wanted: Literal["above", "below"], limit: float, *, grey: float
    ) -> Condition:
        """Compare the number, which must not be NaN, with a limit.

        grey: standard deviation of the limit that careful people would choose; of its natural
        logarithm where ``log``. The probability that the number is above the limit is
        Φ((value - limit) / √(error² + grey²)).
        """
        x, edge = (_log(self.value), math.log(limit)) if self.log else (self.value, limit)
        width = math.hypot(self.error, grey)
        distance = x if math.isinf(x) else (x - edge) / width
        low, high = (x + sign * NORMAL_95 * self.error for sign in (-1, 1))
        return Condition(
            key=self.key,
            what=self.words,
            value=self.value,
            low=_exp(low) if self.log else low,
            high=_exp(high) if self.log else high,
            limit=limit,
            wanted=wanted,
            probability=_cdf(distance if wanted == "above" else -distance),
            epochs=self.epochs,
            unit=self.unit,
        )


def measurement(
    words: str, *, unit: str = "", log: bool = False
) -> Callable[
    [Callable[Concatenate[MeasuredRun, P], Measured]],
    Callable[Concatenate[MeasuredRun, P], Measured | Unmeasured],
]:
    """Make a function of a run a measurement: computed once for each run, and named.

    It returns `Unmeasured` where the function raises `Missing`. The key is the function's name.
    words: the name for people; the function may set more precise ones.
    """

    def decorate(
        function: Callable[Concatenate[MeasuredRun, P], Measured],
    ) -> Callable[Concatenate[MeasuredRun, P], Measured | Unmeasured]:
        key = function.__name__

        @wraps(function)
        def measure(run: MeasuredRun, *args: P.args, **options: P.kwargs) -> Measured | Unmeasured:
            call = (key, args, tuple(sorted(options.items())))
            if call not in run.measured:
                try:
                    found = function(run, *args, **options)
                    run.measured[call] = replace(
                        found, key=key, words=found.words or words, unit=unit, log=log
                    )
                except Missing as error:
                    run.measured[call] = Unmeasured(str(error))
            return run.measured[call]

        return measure

    return decorate


def all_of(*claims: Claim) -> Claim:
    """Claim that all of these hold; the first `Unmeasured` where one of them is."""
    lacking = [c for c in claims if isinstance(c, Unmeasured)]
    if lacking:
        return lacking[0]
    return tuple(c for claim in claims if not isinstance(claim, Unmeasured) for c in claim)


def any_of(*claims: Claim) -> Claim:
    """The most probable of these claims, each as probable as its weakest condition.

    Those that are `Unmeasured` are left out; where all are, the result is.
    """
    measured = [c for c in claims if not isinstance(c, Unmeasured)]
    if measured:
        return max(measured, key=probability)
    needs = dict.fromkeys(c.needs for c in claims if isinstance(c, Unmeasured))
    return Unmeasured(" or ".join(needs))


def first_measured(*claims: Claim) -> Claim:
    """The first of these claims that is measured; the last `Unmeasured` where none is."""
    return next((c for c in claims if not isinstance(c, Unmeasured)), claims[-1])


def if_measured(claim: Claim) -> Claim:
    """The claim, or no condition at all where it is `Unmeasured`."""
    return () if isinstance(claim, Unmeasured) else claim


def probability(conditions: tuple[Condition, ...]) -> float:
    """The probability that all conditions hold: that of the weakest."""
    return min(c.probability for c in conditions)


def _log(value: float) -> float:
    return -math.inf if value <= 0 else math.log(value)


def _exp(value: float) -> float:
    return math.exp(min(value, 700))


def _cdf(z: float) -> float:
    return 1.0 if z == math.inf else 0.0 if z == -math.inf else _NORMAL.cdf(z)
