"""The power law of data, on losses that follow one exactly, nearly, or not at all."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.evaluation.power_law import fit_power_law

SIZES = [500.0, 1500.0, 5000.0, 15000.0, 50000.0]


@pytest.mark.parametrize(("a", "b", "c"), [(0.05, 3.0, 0.4), (0.0, 10.0, 0.5), (0.2, 400.0, 1.1)])
def test_an_exact_law_is_recovered(a: float, b: float, c: float) -> None:
    law = fit_power_law(SIZES, [a + b * n**-c for n in SIZES])
    assert law is not None
    # The search for c ends within 1e-7 of it.
    assert (law.a, law.b, law.c) == pytest.approx((a, b, c), rel=1e-3, abs=1e-5)
    assert law.gain(50000).value == pytest.approx(b * 50000**-c * (1 - 2**-c), rel=1e-3)
    assert law.held_out == pytest.approx(a + b * 50000**-c, rel=1e-3)
    assert math.isnan(law.gain(50000).low)  # one run a size: no spread is known


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    a, b, c, hits = 0.05, 3.0, 0.4, 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        sizes = np.repeat(SIZES, 5)
        losses = (a + b * sizes**-c) * rng.normal(1, 0.03, len(sizes))
        law = fit_power_law(list(sizes), list(losses), num_bootstrap=100, seed=seed)
        assert law is not None
        at = law.at(100000)
        hits += at.low <= a + b * 100000**-c <= at.high
    assert hits >= 24  # 28.5 of 30 are promised; five values a size leave a little less


def test_data_that_brings_nothing_gains_nothing() -> None:
    law = fit_power_law(SIZES * 2, [0.3] * 10)
    assert law is not None
    assert law.gain(50000).value == pytest.approx(0, abs=1e-9)
    assert law.at(1e6).value == pytest.approx(0.3)


def test_too_few_sizes_or_a_loss_of_zero_have_no_law() -> None:
    assert fit_power_law(SIZES[:3], [3.0, 2.0, 1.0]) is None
    assert fit_power_law(SIZES, [3.0, 2.0, 1.0, 0.5, 0.0]) is None
