"""Does a remedy work? Paired runs over seeds, corrected for the number of remedies that were tried.

Everything here is arithmetic on losses. The room `pipeline.verification` trains the runs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from pipeline.diagnosis.record import HEALTHY, UNDETERMINED
from pipeline.records import Estimate

CONFIRMED, NOT_CONFIRMED, HARMFUL = "confirmed", "not confirmed", "harmful"
DIVERGED = "diverged"  # in place of a verdict: the run left no model
LEAST_SEEDS = 3
MOST_SEEDS = 1000
LEVEL = 0.95
_SMALLEST_LOSS = 1e-12  # nats; keeps the logarithm finite
_LEAST_REDUCTION, _LARGEST_GAIN = -9.0, 100.0  # of an interval's end, which may be infinite
_MOST_LOSS = 2.0  # times that of guessing
# No harm of a remedy: the run is better than before, and still improves where it ends.
_HARMLESS = (HEALTHY, UNDETERMINED, "undertrained")


@dataclass(frozen=True)
class Arm:
    """One configuration, trained with every seed.

    losses: ``[n]`` validation losses in nats as `counted_loss` gives them, in the order of the
    seeds.  verdicts: of each run's diagnosis, or `DIVERGED`.
    """

    name: str
    overrides: tuple[str, ...]
    losses: tuple[float, ...]
    verdicts: tuple[str, ...]


def counted_loss(loss: float | None, *, guessing: float) -> float:
    """Return the loss with which a run counts in its pair, in nats.

    A network that is wrong and sure of it has a higher loss than guessing, and a remedy may mend
    just that. One such run must not outweigh all others, so a loss counts up to twice that of
    guessing.
    loss: None, or not finite, of a run that diverged: it counts as much as the worst.
    """
    most = _MOST_LOSS * guessing
    return most if loss is None or not math.isfinite(loss) else min(loss, most)


@dataclass(frozen=True)
class Judged:
    """The result of the paired runs of one arm.

    improvement: relative reduction of the loss against the base; negative where the loss rises. Its
    interval is corrected for the number of arms.  p_value: two-sided, adjusted by Holm's method.
    symptom_share: share of the runs, 0 … 1, that diverged or still have the base's verdict.
    new_symptoms: other verdicts that more than half of the runs have.  seeds_needed: about how many
    seeds would decide it; None where it is decided, or where `MOST_SEEDS` are too few.
    val_losses, verdicts: as in `Arm`.
    """

    name: str
    overrides: tuple[str, ...]
    verdict: str
    improvement: Estimate
    p_value: float
    symptom_share: float
    new_symptoms: tuple[str, ...]
    seeds_needed: int | None
    val_losses: tuple[float, ...]
    verdicts: tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """How paired gains decide: `FIXED`, or `pipeline.verification.anytime.ANYTIME`.

    p_value: of the gains ``[n]``, two-sided.  interval: of their mean, at a level.
    seeds_needed: about how many pairs would decide at a level; None above `MOST_SEEDS`.
    """

    p_value: Callable[[np.ndarray], float]
    interval: Callable[[np.ndarray, float], tuple[float, float]]
    seeds_needed: Callable[[np.ndarray, float], int | None]


def judge(base: Arm, arms: Sequence[Arm], *, symptom: str) -> list[Judged]:
    """Judge each arm against the base, seed by seed; return the most helpful arm first.

    symptom: the verdict that the remedies are meant against.
    Student's t tests the difference of the logarithms of paired losses. Holm's method adjusts the
    p-values, Bonferroni's the intervals. An arm is confirmed if its loss falls beyond noise and
    most of its runs show no symptom that the base lacks. To be undertrained is none: a higher rate
    that is right asks for more epochs next. An arm is harmful if its loss rises beyond noise.
    If most of the base's runs diverged, no symptom counts as new: any model is better than none.
    Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.
    """
    gains = [log_gains(base.losses, arm.losses) for arm in arms]
    adjusted = holm([_p_value(gain) for gain in gains])
    judged = []
    for arm, gain, p in zip(arms, gains, adjusted, strict=True):
        improvement = relative_reduction(gain, comparisons=len(arms))
        needed = seeds_needed(improvement)
        judged.append(_judged(arm, gain, p, improvement, needed, base=base, symptom=symptom))
    return sorted(judged, key=lambda j: -j.improvement.value)


def judge_one(base: Arm, arm: Arm, *, symptom: str, rule: Rule, comparisons: float) -> Judged:
    """Judge one arm by a rule of its own, as one of so many comparisons (Bonferroni).

    Both arms have the same seeds. See `judge` for the verdicts.
    """
    gains, level = log_gains(base.losses, arm.losses), level_of(comparisons)
    ends = rule.interval(gains, level)
    low, value, high = (_reduction(x) for x in (ends[0], float(gains.mean()), ends[1]))
    improvement = Estimate(value=value, low=low, high=high, n=len(gains), level=level)
    p_value = min(1.0, comparisons * rule.p_value(gains))
    needed = rule.seeds_needed(gains, level)
    return _judged(arm, gains, p_value, improvement, needed, base=base, symptom=symptom)


def _reduction(gain: float) -> float:
    """Return the relative reduction of a gain; a rise of the loss is cut at the tenfold."""
    return max(_LEAST_REDUCTION, 1 - math.exp(-gain)) if gain > -_LARGEST_GAIN else _LEAST_REDUCTION


def _judged(
    arm: Arm,
    gains: np.ndarray,
    p_value: float,
    improvement: Estimate,
    needed: int | None,
    *,
    base: Arm,
    symptom: str,
) -> Judged:
    new_symptoms = _new_symptoms(arm, base, symptom)
    decided = p_value < 1 - LEVEL

    verdict = NOT_CONFIRMED
    if decided and gains.mean() < 0:
        verdict = HARMFUL
    elif decided and not new_symptoms:
        verdict = CONFIRMED

    return Judged(
        name=arm.name,
        overrides=arm.overrides,
        verdict=verdict,
        improvement=improvement,
        p_value=p_value,
        symptom_share=sum(v in (symptom, DIVERGED) for v in arm.verdicts) / len(arm.verdicts),
        new_symptoms=new_symptoms,
        seeds_needed=None if decided else needed,
        val_losses=arm.losses,
        verdicts=arm.verdicts,
    )


def _new_symptoms(arm: Arm, base: Arm, symptom: str) -> tuple[str, ...]:
    known = _majority(base.verdicts)
    if DIVERGED in known:
        return ()
    expected = (*known, symptom, *_HARMLESS)
    return tuple(v for v in _majority(arm.verdicts) if v not in expected)


def _majority(verdicts: Sequence[str]) -> list[str]:
    """Return the verdicts of more than half of the runs."""
    return [v for v, count in Counter(verdicts).items() if count > len(verdicts) / 2]


def log_gains(base: Sequence[float], losses: Sequence[float]) -> np.ndarray:
    """Return ``log(base / loss)`` for each pair ``[n]``: positive where the loss is lower."""
    logs = [np.log(np.maximum(each, _SMALLEST_LOSS)) for each in (base, losses)]
    return np.asarray(logs[0] - logs[1])


def relative_reduction(gains: np.ndarray, *, comparisons: int = 1) -> Estimate:
    """Return the mean relative reduction of the loss, with its t interval.

    gains: ``[n]`` from `log_gains`.
    comparisons: the interval's level is ``1 - 0.05 / comparisons``.
    """
    level = level_of(comparisons)
    low, high = t_interval(gains, level)
    low, value, high = (1 - math.exp(-x) for x in (low, float(gains.mean()), high))
    return Estimate(value=value, low=low, high=high, n=len(gains), level=level)


def level_of(comparisons: float) -> float:
    """Return the level of an interval among so many: Bonferroni's."""
    return 1 - (1 - LEVEL) / comparisons


def t_interval(gains: np.ndarray, level: float) -> tuple[float, float]:
    """Return Student's t interval of the mean gain."""
    n, mean = len(gains), float(gains.mean())
    reach = _t_quantile(level, n) * float(gains.std(ddof=1)) / math.sqrt(n)
    return mean - reach, mean + reach


def seeds_needed(reduction: Estimate) -> int | None:
    """Return the least number of seeds that would decide a reduction of this mean and spread.

    reduction: from `relative_reduction`; its t interval holds the spread of the pairs.
    Returns None where `MOST_SEEDS` would be too few.
    """
    mean = abs(math.log1p(-reduction.value))
    # The lower half: a reduction above 1 - 1e-16 is 1 in floating point, and has no logarithm.
    reach = math.log1p(-reduction.low) - math.log1p(-reduction.value)
    spread = reach * math.sqrt(reduction.n) / _t_quantile(reduction.level, reduction.n)
    return _t_seeds(mean, spread, reduction.n, reduction.level)


def _t_seeds(mean: float, spread: float, n: int, level: float) -> int | None:
    more, reaches = _reaches(max(n + 1, LEAST_SEEDS), level)
    deciding = more[reaches * spread < mean]
    return int(deciding[0]) if len(deciding) else None


@cache
def _reaches(first: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of samples ``[M]`` from ``first`` on, and for each `_t_quantile` / √n."""
    counts = np.arange(first, MOST_SEEDS + 1)
    return counts, _t_quantiles(level, counts) / np.sqrt(counts)


def _seeds_by_t(gains: np.ndarray, level: float) -> int | None:
    return _t_seeds(abs(float(gains.mean())), float(gains.std(ddof=1)), len(gains), level)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted by Holm's method, in the given order."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def nearest_to_decision(judged: Sequence[Judged]) -> Judged | None:
    """Return the undecided arm that seems to help and needs the fewest seeds; None without one."""
    near = [j for j in judged if j.seeds_needed is not None and j.improvement.value > 0]
    return min(near, key=lambda j: j.seeds_needed or 0, default=None)


def _p_value(gains: np.ndarray) -> float:
    spread = float(gains.std(ddof=1))
    if spread == 0:
        return 1.0 if gains.mean() == 0 else 0.0
    from scipy import stats

    t = float(gains.mean()) / (spread / math.sqrt(len(gains)))
    return float(2 * stats.t.sf(abs(t), len(gains) - 1))


def _t_quantile(level: float, n: int) -> float:
    """Return the half-width of a two-sided t interval of ``n`` samples, in standard errors."""
    return float(_t_quantiles(level, np.array([n]))[0])


def _t_quantiles(level: float, counts: np.ndarray) -> np.ndarray:
    """Return `_t_quantile` for numbers of samples ``[M]``."""
    from scipy import stats  # here: pages and texts read the words of a judgement only

    return np.asarray(stats.t.ppf(0.5 + level / 2, counts - 1))


# The number of pairs is set beforehand. Student, The Probable Error of a Mean, 1908.
FIXED = Rule(p_value=_p_value, interval=t_interval, seeds_needed=_seeds_by_t)
