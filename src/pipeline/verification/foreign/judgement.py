"""The judgement of a command's runs, with the arithmetic of our own verifications."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.diagnosis.foreign_proof import DIFFERENCE, ForeignArm
from pipeline.diagnosis.paired_trials import (
    CONFIRMED,
    FIXED,
    HARMFUL,
    LEVEL,
    NOT_CONFIRMED,
    Rule,
    holm,
    level_of,
)
from pipeline.errors import ConfigError
from pipeline.records import Estimate
from pipeline.verification.anytime import ANYTIME, is_futile
from pipeline.verification.foreign.options import ForeignOptions
from pipeline.verification.foreign.plan import Setting


@dataclass(frozen=True)
class Measure:
    """How numbers of one metric become gains: logarithms of ratios, or differences.

    A gain is positive where the number is better.
    """

    metric: str
    goal: str
    scale: str
    rule: Rule

    def gains(self, base: Sequence[float], values: Sequence[float]) -> np.ndarray:
        """Return the gain of each pair ``[n]``; a longer base is cut.

        Raises `ConfigError` for a number that has no logarithm.
        """
        sign = 1.0 if self.goal == "max" else -1.0
        pair = np.array([base[: len(values)], values], dtype=float)
        if self.scale == DIFFERENCE:
            return np.asarray(sign * (pair[1] - pair[0]))
        if pair.min() <= 0:
            raise ConfigError(
                f"{self.metric} was {pair.min():g}: ratios need numbers above 0. "
                "Give scale=difference; no run is repeated."
            )
        return np.asarray(sign * np.log(pair[1] / pair[0]))

    def improvement(
        self, base: Sequence[float], values: Sequence[float], *, comparisons: int = 1
    ) -> Estimate:
        """Return the mean improvement with its interval, in the unit that people read."""
        gains, level = self.gains(base, values), level_of(comparisons)
        low, high = self.rule.interval(gains, level)
        low, value, high = map(self._size, (low, float(gains.mean()), high))
        return Estimate(value=value, low=low, high=high, n=len(gains), level=level)

    def _size(self, gain: float) -> float:
        if self.scale == DIFFERENCE:
            return gain
        with np.errstate(over="ignore"):  # beyond 1e308 it is infinite
            size = -np.expm1(-gain) if self.goal == "min" else np.expm1(gain)
        return float(size)


def measure_of(options: ForeignOptions) -> Measure:
    """Return the measure that the options ask for."""
    rule = ANYTIME if options.early else FIXED
    return Measure(options.metric, options.goal, options.scale, rule)


def judged(
    measure: Measure,
    base: Sequence[float],
    arms: Sequence[Setting],
    values: Sequence[Sequence[float]],
) -> list[ForeignArm]:
    """Judge each arm against the unchanged command; keep the order of the arms."""
    gains = [measure.gains(base, each) for each in values]
    adjusted = holm([measure.rule.p_value(each) for each in gains])
    found = []
    for arm, gain, numbers, p in zip(arms, gains, values, adjusted, strict=True):
        improvement = measure.improvement(base, numbers, comparisons=len(arms))
        decided = p < 1 - LEVEL
        needed = None if decided else measure.rule.seeds_needed(gain, improvement.level)
        verdict = NOT_CONFIRMED
        if decided:
            verdict = CONFIRMED if gain.mean() > 0 else HARMFUL
        found.append(
            ForeignArm(arm.name, arm.values, verdict, improvement, p, needed, tuple(numbers))
        )
    return found


def still_open(
    measure: Measure, base: Sequence[float], judged_arms: Sequence[ForeignArm], *, most: int
) -> list[str]:
    """Return the arms that deserve another pair.

    Those are undecided, not without hope, and ahead of every arm that is confirmed already.
    """
    best = max((a.improvement.value for a in judged_arms if a.verdict == CONFIRMED), default=None)
    names = []
    for arm in judged_arms:
        gains = measure.gains(base, arm.values)
        futile = is_futile(gains, level=level_of(len(judged_arms)), most=most)
        behind = best is not None and arm.improvement.value <= best
        if arm.verdict == NOT_CONFIRMED and not futile and not behind:
            names.append(arm.name)
    return names


def best_of(arms: Sequence[ForeignArm]) -> ForeignArm | None:
    """Return the confirmed arm with the largest improvement; None without one."""
    confirmed = [arm for arm in arms if arm.verdict == CONFIRMED]
    return max(confirmed, key=lambda arm: arm.improvement.value, default=None)


def nearest(arms: Sequence[ForeignArm]) -> ForeignArm | None:
    """Return the undecided arm that seems to help and needs the fewest seeds; None without one."""
    near = [arm for arm in arms if arm.seeds_needed and arm.improvement.value > 0]
    return min(near, key=lambda arm: arm.seeds_needed or 0, default=None)
