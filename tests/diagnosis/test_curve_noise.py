"""The luck of the lowest, against draws."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.diagnosis.curve_noise import expected_luck


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_luck_is_the_mean_of_the_lowest_of_normal_numbers(count: int) -> None:
    drawn = np.random.default_rng(0).normal(size=(20_000, count)).min(1)
    assert expected_luck(count) == pytest.approx(-drawn.mean(), abs=0.03)
