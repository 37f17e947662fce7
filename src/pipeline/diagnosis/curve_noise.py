"""How much of a number of a curve is chance, and the luck of the lowest of many."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np


def error_of_mean(values: np.ndarray) -> float:
    """Return the standard error of the mean of the losses of examples, ``[N]``."""
    return float(values.std() / math.sqrt(len(values)))


def relative_noise(curve: np.ndarray) -> float:
    """Return the relative noise of a curve's points, from second differences of its logarithm.

    A smooth curve has none, because the logarithm of a loss falls nearly straight. Over the later
    half (8 points at least); 0 for less than four points.
    """
    positive = curve[np.isfinite(curve) & (curve > 0)]
    if len(positive) < 4:
        return 0.0
    later = positive[-max(8, math.ceil(len(positive) / 2)) :]
    second = np.diff(np.log(later), n=2)
    return float(1.4826 * np.median(np.abs(second)) / math.sqrt(6))


def expected_luck(count: int) -> float:
    """Return how far the lowest of ``count`` standard normal numbers lies below their mean.

    NaN for none. Blom, Statistical Estimates and Transformed Beta-Variables, 1958.
    """
    if count < 1:
        return math.nan
    return NormalDist().inv_cdf((count - 0.375) / (count + 0.25))
