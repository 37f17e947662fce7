"""Evidence that may be looked at after every pair: an e-process for the mean of paired gains.

A fixed test keeps its error only where the number of pairs was set beforehand. The e-process here
keeps it at every moment, so pairs are added one at a time until they decide. It may also go on
later with more seeds.
"""

from __future__ import annotations

import math

import numpy as np

from pipeline.diagnosis.paired_trials import LEAST_SEEDS, LEVEL, MOST_SEEDS, Rule

# Variance of the effects (mean over spread of the pairs) that the alternative expects. Remedies
# that help have effects of 1 to 15, and 25 lets three pairs decide the clearest ones.
EFFECT_VARIANCE = 25.0
# Evidence is asked for twice what the theorem needs. For normal gains half of the error is then
# left, and the other half pays for gains that are skewed: see `benchmarks/anytime.py`.
SAFETY = 2.0
MOST_PAIRS = 20  # where nobody names a number
_FUTILE_FROM = 5  # pairs
_FUTILE_LEVEL = 0.9  # of the interval whose better end must still be able to decide


def log_e_values(gains: np.ndarray) -> np.ndarray:
    """Return the logarithm of the e-process after each pair ``[…, n]``.

    gains: ``[…, n]`` in the order of the pairs; each row is an experiment of its own.

    If the gains are independent and normal with mean 0, and whatever their spread, the process
    exceeds ``1 / a`` at any time with a probability of at most ``a``. It is the Bayes factor of the
    t statistic: effect size ``N(0, EFFECT_VARIANCE)`` against 0, with the right Haar prior on the
    spread. Its closed form is that of Gönen, Johnson, Lu and Westfall, The Bayesian Two-Sample t
    Test, 2005. That it is a test martingale in the filtration of the scale-invariant statistics:
    Lai, On Confidence Sequences, 1976; Hendriksen, de Heide and Grünwald, Optional Stopping with
    Bayes Factors, 2021; Pérez-Ortiz, Lardy, de Heide and Grünwald, E-Statistics, Group Invariance
    and Anytime-Valid Testing, 2024. The bound is Ville's inequality.
    """
    n = np.arange(1, gains.shape[-1] + 1)
    means = np.cumsum(gains, axis=-1) / n
    parts = [gains[..., :k] - means[..., k - 1, np.newaxis] for k in n]
    squares = np.stack([np.square(part).sum(axis=-1) for part in parts], axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(means == 0, 0.0, n * means**2 / squares)
    return np.where(n == 1, 0.0, _log_e(ratio, n))


def _log_e(ratio: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return the logarithm of the e-value. ratio: t² over the degrees of freedom; may be inf."""
    spread = 1 + n * EFFECT_VARIANCE
    with np.errstate(invalid="ignore"):
        evidence = np.log1p(ratio) - np.log1p(ratio / spread)
    evidence = np.where(np.isinf(ratio), np.log(spread), evidence)
    return np.asarray(n / 2 * evidence - np.log(spread) / 2)


def log_threshold(level: float) -> float:
    """Return the logarithm of the e-value that decides at a level."""
    return math.log(SAFETY / (1 - level))


def p_value(gains: np.ndarray) -> float:
    """Return the anytime-valid p-value: `SAFETY` over the largest e-value so far, at most 1.

    The first pairs below `LEAST_SEEDS` do not count.
    """
    logs = log_e_values(gains)[LEAST_SEEDS - 1 :]
    return min(1.0, SAFETY * math.exp(-max(logs))) if len(logs) else 1.0


def interval(gains: np.ndarray, level: float) -> tuple[float, float]:
    """Return the confidence sequence of the mean gain at this moment; ends may be infinite.

    It holds all means that are not rejected: Wang and Ramdas, Anytime-Valid t-Tests
    and Confidence Sequences for Gaussian Means with Unknown Variance, 2025.
    """
    n, mean = len(gains), float(gains.mean())
    spread = 1 + n * EFFECT_VARIANCE
    root = math.exp((2 * log_threshold(level) + math.log(spread)) / n)
    if root >= spread:
        return -math.inf, math.inf
    ratio = (root - 1) / (1 - root / spread)
    reach = math.sqrt(ratio * float(np.square(gains - mean).sum()) / n)
    return mean - reach, mean + reach


def seeds_needed(gains: np.ndarray, level: float) -> int | None:
    """Return about how many pairs of this mean and spread would decide; None above `MOST_SEEDS`."""
    return _pairs_that_decide(abs(float(gains.mean())), gains, level, most=MOST_SEEDS)


def _pairs_that_decide(mean: float, gains: np.ndarray, level: float, *, most: int) -> int | None:
    variance = float(gains.var(ddof=1))
    more = np.arange(max(len(gains) + 1, LEAST_SEEDS), most + 1)
    if mean == 0 or not len(more):
        return None
    ratio = more * mean**2 / ((more - 1) * variance) if variance else np.full(len(more), np.inf)
    deciding = more[_log_e(ratio, more) >= log_threshold(level)]
    return int(deciding[0]) if len(deciding) else None


def is_futile(gains: np.ndarray, *, level: float, most: int) -> bool:
    """Whether even a kind reading of the pairs so far leaves no hope of a gain within ``most``.

    The kind reading takes the upper end of a t interval for the mean. To stop for this reason
    cannot raise the error: it only ends what was not rejected.
    """
    n = len(gains)
    if n < _FUTILE_FROM:
        return False
    from scipy import stats

    error = float(gains.std(ddof=1)) / math.sqrt(n)
    kind = float(gains.mean()) + float(stats.t.ppf(0.5 + _FUTILE_LEVEL / 2, n - 1)) * error
    return kind <= 0 or _pairs_that_decide(kind, gains, level, most=most) is None


ANYTIME = Rule(p_value=p_value, interval=interval, seeds_needed=seeds_needed)
__all__ = ["ANYTIME", "LEVEL", "MOST_PAIRS", "is_futile", "log_e_values"]
