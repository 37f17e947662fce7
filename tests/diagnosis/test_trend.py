"""Robust slopes, against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pipeline.diagnosis.trend import theil_sen


@pytest.mark.parametrize("digits", [0, 1, 6], ids=["many_ties", "some_ties", "no_tie"])
@pytest.mark.parametrize("count", [2, 3, 4, 7, 40])
def test_slope_and_error_are_those_of_scipy(count: int, digits: int) -> None:
    dice = np.random.default_rng(count + digits)
    for _ in range(50):
        x = np.sort(dice.choice(100, count, replace=False)).astype(float)
        y = np.round(dice.normal(size=count), digits)
        slope, _, low, high = stats.theilslopes(y, x, alpha=0.95)
        assert theil_sen(x, y) == pytest.approx((slope, (high - low) / 3.92), abs=1e-12)
