"""Robust slopes with numpy alone.

`scipy.stats` has them, but its import takes longer than a whole verdict on a file of curves.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from pipeline.diagnosis.measured import NORMAL_95

_NORMAL = NormalDist()


def theil_sen(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return the median of all pairs' slopes, and the standard error that its 95 % interval gives.

    x, y: ``[N]`` float64, N ≥ 2, x not constant. The interval counts slopes by the variance of
    Kendall's statistic, with ties. Sen, Estimates of the Regression Coefficient Based on Kendall's
    Tau, 1968. Equal to `scipy.stats.theilslopes`.
    """
    first, second = np.triu_indices(len(x), 1)
    run, rise = x[second] - x[first], y[second] - y[first]
    slopes = np.sort(rise[run != 0] / run[run != 0])
    spread = math.sqrt(_variance_of_kendall(x, y)) * _NORMAL.inv_cdf(0.975)
    count = len(slopes)
    upper = min(round((count + spread) / 2), count - 1)
    lower = max(round((count - spread) / 2) - 1, 0)
    return float(np.median(slopes)), float(slopes[upper] - slopes[lower]) / (2 * NORMAL_95)


def _variance_of_kendall(x: np.ndarray, y: np.ndarray) -> float:
    def term(count: np.ndarray) -> float:
        return float((count * (count - 1) * (2 * count + 5)).sum())

    ties = [np.unique(values, return_counts=True)[1].astype(np.float64) for values in (x, y)]
    return max(term(np.array([float(len(x))])) - sum(term(t) for t in ties), 0.0) / 18
