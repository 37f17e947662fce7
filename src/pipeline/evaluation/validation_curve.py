"""The validation curve: loss against one setting, with its sweet spot and the fault on either side.

The trials of a sweep differ in their other settings too, so a point of the curve is a median over
trials, and its spread comes from the other settings. The sweet spot is the run of neighbouring
bins whose median is within two standard errors of the lowest one (of the difference; both by the
bootstrap over trials). It is the whole range where the bins do not differ by the test of Kruskal
and Wallis (1952): the lowest of many noisy bins always looks better than some other.

Outside of the sweet spot the validation loss is higher. It is the training loss plus the gap: a
side is underfit where the training loss accounts for more of the rise, else overfit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import kruskal

from pipeline.records import Estimate

Side = Literal["underfit", "overfit"]
MOST_DISCRETE = 8
PER_BIN = 8
MOST_BINS = 8
LEAST_TRIALS = 12
NOISE = 2.0  # standard errors
LEVEL = 0.05


@dataclass(frozen=True)
class Bin:
    """Neighbouring values of a setting.

    low, high, center: in the setting's unit, NaN for null.  label: for people.
    """

    low: float
    high: float
    center: float
    label: str
    train: Estimate
    val: Estimate


@dataclass(frozen=True)
class ValidationCurve:
    """Medians of the training and validation loss over the bins of one setting.

    best: index of the lowest bin.  first, last: the sweet spot's bins, inclusive.
    left, right: the fault on either side of it; None where the sweet spot reaches the last bin.
    discrete: each bin is one value.  points: (value, train, val) of every trial; NaN is null.
    """

    bins: tuple[Bin, ...]
    best: int
    first: int
    last: int
    left: Side | None
    right: Side | None
    discrete: bool
    points: tuple[tuple[float, float, float], ...]

    @property
    def sweet(self) -> str:
        """The sweet spot's values in words."""
        first, last = self.bins[self.first], self.bins[self.last]
        if first is last and self.discrete:
            return first.label
        if self.discrete:
            return f"{first.label} … {last.label}"
        return f"{first.low:.3g} … {last.high:.3g}"

    def zone(self, value: float | None) -> Side | Literal["sweet spot"] | None:
        """Return the zone of a value; None beyond the tried values."""
        place = self.place(value)
        if place is None or not 0 <= place <= len(self.bins) - 1:
            return None
        if place < self.first:
            return self.left
        if place > self.last:
            return self.right
        return "sweet spot"

    def place(self, value: float | None) -> float | None:
        """Return the position of a value on the axis of bins.

        It is the bin's index, and halfway between two bins; -1 below the first bin, and the number
        of bins above the last.  None for null without a bin of its own.
        """
        labels = [b.label for b in self.bins]
        if value is None or math.isnan(value):
            return float(labels.index("null")) if "null" in labels else None
        numeric = [(i, b) for i, b in enumerate(self.bins) if not math.isnan(b.center)]
        for i, b in numeric:
            if b.low <= value <= b.high:
                return float(i)

        below = [i for i, b in numeric if b.high < value]
        if not below:
            return -1.0
        if below[-1] == len(self.bins) - 1:
            return float(len(self.bins))
        return below[-1] + 0.5


def validation_curve(
    values: Sequence[float | None], train: Sequence[float], val: Sequence[float], *, seed: int = 0
) -> ValidationCurve | None:
    """Return the curve of one setting over trials; lower losses are better.

    values: the setting in each trial; None is null, which means no limit and comes last.
    Returns None for fewer than 12 trials, or fewer than 2 values that at least two trials have.
    """
    x = np.array([math.nan if v is None else float(v) for v in values])
    losses = np.array([train, val], dtype=float)
    known = np.isfinite(losses).all(axis=0)
    x, losses = x[known], losses[:, known]
    groups, discrete = _groups(x)

    if len(x) < LEAST_TRIALS or len(groups) < 2:
        return None
    rng = np.random.default_rng(seed)
    bins = tuple(_bin(x[g], losses[:, g], rng) for g in groups)
    medians = [b.val.value for b in bins]
    best = int(np.argmin(medians))
    errors = np.array([_standard_error(losses[1, g], rng) for g in groups])
    limits = medians[best] + NOISE * np.sqrt(errors**2 + errors[best] ** 2)
    first = last = best
    if _alike([losses[1, g] for g in groups]):
        first, last = 0, len(bins) - 1
    while first > 0 and medians[first - 1] <= limits[first - 1]:
        first -= 1
    while last < len(bins) - 1 and medians[last + 1] <= limits[last + 1]:
        last += 1
    inside = np.concatenate(groups[first : last + 1])
    sides = [_side(losses, inside, groups[:first]), _side(losses, inside, groups[last + 1 :])]
    points = tuple((float(a), float(b), float(c)) for a, b, c in zip(x, *losses, strict=True))
    return ValidationCurve(bins, best, first, last, sides[0], sides[1], discrete, points)


def _alike(groups: Sequence[np.ndarray]) -> bool:
    """Return whether chance explains the differences of the bins, or all losses are equal."""
    if np.unique(np.concatenate(groups)).size == 1:
        return True
    return bool(kruskal(*groups).pvalue > LEVEL)


def _groups(x: np.ndarray) -> tuple[list[np.ndarray], bool]:
    """Return each bin's trials, in the order of values, and whether each bin is one value."""
    order = np.argsort(x, kind="stable")  # NaN, the null, comes last
    distinct = np.unique(x)
    if len(distinct) <= MOST_DISCRETE:
        same = [np.flatnonzero(np.isnan(x) if math.isnan(v) else x == v) for v in distinct]
        return [g for g in same if len(g) > 1], True
    known = order[~np.isnan(x[order])]
    count = int(np.clip(len(known) // PER_BIN, 3, MOST_BINS))
    return list(np.array_split(known, count)), False


def _bin(x: np.ndarray, losses: np.ndarray, rng: np.random.Generator) -> Bin:
    low, high, center = float(x.min()), float(x.max()), float(np.median(x))
    label = "null" if math.isnan(center) else f"{center:.3g}"
    return Bin(low, high, center, label, _median(losses[0], rng), _median(losses[1], rng))


def _median(values: np.ndarray, rng: np.random.Generator) -> Estimate:
    drawn = _resampled_medians(values, rng)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(float(np.median(values)), float(low), float(high), len(values))


def _standard_error(values: np.ndarray, rng: np.random.Generator) -> float:
    return float(_resampled_medians(values, rng).std(ddof=1))


def _resampled_medians(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    drawn: np.ndarray = np.median(rng.choice(values, size=(1000, len(values))), axis=1)
    return drawn


def _side(losses: np.ndarray, inside: np.ndarray, outside: Sequence[np.ndarray]) -> Side | None:
    if not outside:
        return None
    there = np.concatenate(outside)
    train, gap = losses[0], losses[1] - losses[0]
    rise_of_train = np.median(train[there]) - np.median(train[inside])
    rise_of_gap = np.median(gap[there]) - np.median(gap[inside])
    return "underfit" if rise_of_train >= rise_of_gap else "overfit"


def as_number(value: Any) -> float | None:
    """Return a setting's value as a number; None for null. Raises `TypeError` for other types."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)
