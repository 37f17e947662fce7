"""A range test of the learning rate: short runs from equal weights, each at another rate.

One run whose rate rises exponentially (Smith, Cyclical Learning Rates, 2017) finds the largest
stable rate too late: small rates have made the loss small before, and its rise takes many steps to
show. Here each rate starts from the same weights and sees the same images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

RATIO = 10**0.25  # between neighbouring rates
SMALLEST, LARGEST = 1e-8, 1e3
HALVINGS = 3  # of the gap between the last stable and the first unstable rate, on the log scale
MARGIN = 2.0  # the suggestion keeps this factor from the largest stable rate
NUM_WORSE = 2  # rates in a row below the best one that end the search downwards


@dataclass(frozen=True)
class Tried:
    """A short run. loss: at its end; infinite where it diverged."""

    rate: float
    loss: float


@dataclass(frozen=True)
class RateRange:
    """The losses of all rates that were tried.

    before: loss of the weights that every run begins with.  tried: by increasing rate.
    largest_stable: the largest rate below which every one lowers the loss; None where none does.
    lowest_unstable: the next one, which does not; None where even `LARGEST` is stable.
    suggested: the rate of the lowest loss, at a `MARGIN` from the largest stable one.
    """

    before: float
    tried: tuple[Tried, ...]
    largest_stable: float | None
    lowest_unstable: float | None
    suggested: float | None


def find_rates(run: Callable[[float], float], *, start: float, before: float) -> RateRange:
    """Try rates upwards from ``start`` until the loss does not fall, then downwards past the best.

    run: a rate → the loss at the end of a short run.  start: the rate to begin with.
    """
    search = _Search(run, before)
    rate = start
    while search.stable(rate) and rate * RATIO <= LARGEST:
        rate *= RATIO
    rate = start
    while _goes_on(search, rate):
        rate /= RATIO
        search.stable(rate)
    for _ in range(HALVINGS):
        low, high = search.edge()
        if low is None or high is None:
            break
        search.stable(math.sqrt(low * high))
    return search.result()


def _goes_on(search: _Search, rate: float) -> bool:
    """Whether a rate below this one may still be the best."""
    if rate / RATIO < SMALLEST:
        return False
    low, _ = search.edge()
    below = [loss for tried, loss in search.losses.items() if low and tried < search.best(low)]
    return low is None or len(below) < NUM_WORSE


class _Search:
    """The rates that were tried so far."""

    def __init__(self, run: Callable[[float], float], before: float) -> None:
        self._run, self._before = run, before
        self.losses: dict[float, float] = {}

    def stable(self, rate: float) -> bool:
        """Try a rate, once; return whether it lowers the loss."""
        if rate not in self.losses:
            loss = self._run(rate)
            self.losses[rate] = loss if math.isfinite(loss) else math.inf
        return self.losses[rate] < self._before

    def edge(self) -> tuple[float | None, float | None]:
        """Return the largest stable and the lowest unstable rate above which lies none."""
        rates = sorted(self.losses)
        low: float | None = None
        for rate in rates:
            if self.losses[rate] < self._before:
                low = rate
            elif low is not None:
                return low, rate
        return low, None if low is not None else (rates[0] if rates else None)

    def best(self, limit: float) -> float:
        """Return the stable rate of the lowest loss, at most a limit."""
        known = {rate: loss for rate, loss in self.losses.items() if rate <= limit}
        return min(known, key=lambda rate: known[rate])

    def result(self) -> RateRange:
        low, high = self.edge()
        below = None if low is None else low / MARGIN if high is not None else low
        safe = below is not None and any(rate <= below for rate in self.losses)
        return RateRange(
            before=self._before,
            tried=tuple(Tried(rate, self.losses[rate]) for rate in sorted(self.losses)),
            largest_stable=low,
            lowest_unstable=high,
            suggested=self.best(below) if safe and below is not None else None,
        )
