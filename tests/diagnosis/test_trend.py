"""Robust slopes and the luck of the lowest, against SciPy and against draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pipeline.diagnosis.trend import expected_luck, theil_sen


@pytest.mark.parametrize("digits", [0, 1, 6], ids=["many_ties", "some_ties", "no_tie"])
@pytest.mark.parametrize("count", [2, 3, 4, 7, 40])
def test_slope_and_error_are_those_of_scipy(count: int, digits: int) -> None:
    dice = np.random.default_rng(count + digits)
    for _ in range(50):
        x = np.sort(dice.choice(100, count, replace=False)).astype(float)
        y = np.round(dice.normal(size=count), digits)
        slope, _, low, high = stats.theilslopes(y, x, alpha=0.95)
        assert theil_sen(x, y) == pytest.approx((slope, (high - low) / 3.92), abs=1e-12)


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_luck_is_the_mean_of_the_lowest_of_normal_numbers(count: int) -> None:
    drawn = np.random.default_rng(0).normal(size=(20_000, count)).min(1)
    assert expected_luck(count) == pytest.approx(-drawn.mean(), abs=0.03)
