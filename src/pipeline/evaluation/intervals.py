"""Intervals at 95 % around a number: Wilson for shares, Student over runs, else the bootstrap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import NormalDist, mean, stdev

import numpy as np

from pipeline.records import Estimate

LEVEL = Estimate.level
_CHUNK = 100  # resamples at once: 8 MB of weights for 10,000 examples


def wilson(hits: int, n: int) -> Estimate:
    """Return the share ``hits / n`` with its Wilson score interval, within 0 … 1 and never empty.

    n = 0 gives the value 0 with the interval 0 … 1.
    E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927.
    """
    if n == 0:
        return Estimate(value=0.0, low=0.0, high=1.0, n=0)
    z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
    p = hits / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    low = 0.0 if hits == 0 else centre - half  # the formula gives the same up to rounding
    high = 1.0 if hits == n else centre + half
    return Estimate(value=p, low=low, high=high, n=n)


def wilson_f1(hits: int, *, predicted: int, support: int) -> Estimate:
    """Return the F1 of one class with its Wilson interval.

    Of the examples that are of the class or predicted as it, ``hits`` are both: a plain share ``j``
    (the Jaccard index) with a Wilson interval. F1 is ``2j / (1 + j)``, which grows with ``j``, so
    the ends of its interval follow from the same formula.
    """
    jaccard = wilson(hits, predicted + support - hits)
    value, low, high = (2 * j / (1 + j) for j in (jaccard.value, jaccard.low, jaccard.high))
    return Estimate(value=value, low=low, high=high, n=jaccard.n)


def student(values: Sequence[float]) -> Estimate:
    """Return the mean of two or more independent values, rounded once, with its t interval.

    Student, The Probable Error of a Mean, 1908.
    """
    from scipy import stats  # here: it takes a second, and most intervals do without

    n, centre = len(values), mean(map(float, values))
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1)) * stdev(values) / n**0.5
    return Estimate(value=centre, low=centre - reach, high=centre + reach, n=n)


def resampled_sums(columns: np.ndarray, *, num_resamples: int, seed: int) -> np.ndarray:
    """Return column sums ``[num_resamples, M]`` of N rows of ``columns [N, M]``.

    The rows of each resample are drawn with replacement. Drawing rows is the same as weighting each
    row by its number of draws (multinomial counts), so all resamples are one matrix product.
    """
    chunks = _weights(len(columns), num_resamples, seed)
    return np.concatenate([weights @ columns for weights in chunks])


def _weights(n: int, num_resamples: int, seed: int) -> Iterator[np.ndarray]:
    generator = np.random.default_rng(seed)
    for start in range(0, num_resamples, _CHUNK):
        size = min(_CHUNK, num_resamples - start)
        drawn = generator.integers(n, size=(size, n))
        drawn += np.arange(size)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def percentile(value: float, resampled: np.ndarray, *, n: int) -> Estimate:
    """Return the middle 95 % of the resampled values, for a number without resampling bias.

    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    low, high = np.quantile(resampled, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Estimate(value=value, low=float(low), high=float(high), n=n)


def calibration_error_interval(
    value: float, resampled: np.ndarray, *, if_calibrated: np.ndarray, n: int
) -> Estimate:
    """Return an interval for a number ≥ 0 that sampling noise makes larger.

    The noise that lifts a calibration error above its true value lifts each resample above the
    measured value again.  So the percentiles are reflected at the measured value, and widened where
    needed to hold it (Davison and Hinkley, Bootstrap Methods and their Application, 1997, 5.2).
    That fails near 0, where the error has a kink.  So the interval reaches down to 0 when a
    perfectly calibrated model would easily show an error as large.

    if_calibrated: errors of perfectly calibrated models, see `errors_if_calibrated`.
    """
    low, high = np.quantile(resampled, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    plausibly_zero = value <= np.quantile(if_calibrated, 0.5 + LEVEL / 2)
    return Estimate(
        value=value,
        low=0.0 if plausibly_zero else max(0.0, min(value, 2 * value - float(high))),
        high=max(value, 2 * value - float(low)),
        n=n,
    )


def errors_if_calibrated(
    confidences: np.ndarray, in_bin: np.ndarray, *, num_resamples: int, seed: int
) -> np.ndarray:
    """Return calibration errors ``[num_resamples]`` of a perfectly calibrated model.

    confidences: ``[N]``.  in_bin: ``[N, bins]``, 1 where the example falls into the bin.
    Each resample draws "right" with the stated confidence (consistency resampling: Bröcker and
    Smith, Increasing the Reliability of Reliability Diagrams, 2007).
    """
    generator = np.random.default_rng(seed)
    errors = []
    for start in range(0, num_resamples, _CHUNK):
        size = min(_CHUNK, num_resamples - start)
        drawn = generator.random((size, len(confidences)), dtype=np.float32)
        gaps = ((drawn < confidences) - confidences) @ in_bin
        errors.append(np.abs(gaps).sum(axis=1) / len(confidences))
    return np.concatenate(errors)
