"""Intervals around a measured number: Wilson for shares, the bootstrap for everything else."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist

import numpy as np

from pipeline.records import Estimate

_CHUNK = 100  # resamples at once: 8 MB of weights for 10,000 examples


def wilson(hits: int, n: int, *, level: float = 0.95) -> Estimate:
    """A share ``hits / n`` with its Wilson score interval, which stays in 0 … 1 and is never empty.

    ``n = 0`` says nothing: value 0, interval 0 … 1.
    E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927.
    """
    if n == 0:
        return Estimate(value=0.0, low=0.0, high=1.0, n=0, level=level)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    p = hits / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    low = 0.0 if hits == 0 else centre - half  # exact there, but for the last rounding
    high = 1.0 if hits == n else centre + half
    return Estimate(value=p, low=low, high=high, n=n, level=level)


def wilson_f1(hits: int, *, predicted: int, support: int, level: float = 0.95) -> Estimate:
    """The F1 of one class with its Wilson interval.

    Of the examples that are of the class or predicted as it, ``hits`` are both: a plain share ``j``
    (the Jaccard index) with a Wilson interval. F1 is ``2j / (1 + j)``, which grows with ``j``, so the
    ends of the interval go through the same formula.
    """
    jaccard = wilson(hits, predicted + support - hits, level=level)
    value, low, high = (2 * j / (1 + j) for j in (jaccard.value, jaccard.low, jaccard.high))
    return Estimate(value=value, low=low, high=high, n=jaccard.n, level=level)


def resampled_sums(columns: np.ndarray, *, num_resamples: int, seed: int) -> np.ndarray:
    """Column sums ``[num_resamples, M]`` of the rows of ``columns [N, M]``, drawn N times with replacement.

    Drawing rows is the same as weighing each row by how often it was drawn (multinomial counts), so
    all resamples are one matrix product.
    """
    return np.concatenate([weights @ columns for weights in _weights(len(columns), num_resamples, seed)])


def _weights(n: int, num_resamples: int, seed: int) -> Iterator[np.ndarray]:
    generator = np.random.default_rng(seed)
    for start in range(0, num_resamples, _CHUNK):
        size = min(_CHUNK, num_resamples - start)
        drawn = generator.integers(n, size=(size, n))
        drawn += np.arange(size)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def percentile(value: float, resampled: np.ndarray, *, n: int, level: float = 0.95) -> Estimate:
    """The middle ``level`` of the resampled values, for a number that resampling does not push aside.

    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    low, high = np.quantile(resampled, [0.5 - level / 2, 0.5 + level / 2])
    return Estimate(value=value, low=float(low), high=float(high), n=n, level=level)


def calibration_error_interval(
    value: float, resampled: np.ndarray, *, if_calibrated: np.ndarray, n: int, level: float = 0.95
) -> Estimate:
    """An interval for a number from 0 up that sampling noise makes larger.

    The noise that lifts a calibration error above its true value lifts each resample above the
    measured value again, so the percentiles are reflected at the measured value and widened where
    needed to hold it (Davison and Hinkley, Bootstrap Methods and their Application, 1997, 5.2).
    That fails near 0, where the error has a kink: so the interval reaches down to 0 when a perfectly
    calibrated model (``if_calibrated``: errors of such) would easily show an error as large.
    """
    low, high = np.quantile(resampled, [0.5 - level / 2, 0.5 + level / 2])
    plausibly_zero = value <= np.quantile(if_calibrated, 0.5 + level / 2)
    return Estimate(
        value=value,
        low=0.0 if plausibly_zero else max(0.0, min(value, 2 * value - float(high))),
        high=max(value, 2 * value - float(low)),
        n=n,
        level=level,
    )


def errors_if_calibrated(
    confidences: np.ndarray, in_bin: np.ndarray, *, num_resamples: int, seed: int
) -> np.ndarray:
    """Calibration errors ``[num_resamples]`` of a model that is right as often as it says.

    confidences: ``[N]``.  in_bin: ``[N, bins]``, 1 where the example falls into the bin.
    Each resample draws "right" with the stated confidence (consistency resampling: Bröcker and Smith,
    Increasing the Reliability of Reliability Diagrams, 2007).
    """
    generator = np.random.default_rng(seed)
    errors = []
    for start in range(0, num_resamples, _CHUNK):
        drawn = generator.random((min(_CHUNK, num_resamples - start), len(confidences)), dtype=np.float32)
        gaps = ((drawn < confidences) - confidences) @ in_bin
        errors.append(np.abs(gaps).sum(axis=1) / len(confidences))
    return np.concatenate(errors)
