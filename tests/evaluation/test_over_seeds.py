"""Numbers over several seeds: by hand, and against SciPy."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from pipeline.evaluation.over_seeds import OverSeeds, over_seeds, summarised, without_ends


def test_a_mean_is_rounded_once() -> None:
    """The sum of these five, rounded first, gives 0.8135999999999999."""
    accuracies = [0.796, 0.844, 0.824, 0.778, 0.826]
    assert math.fsum(accuracies) / 5 != 0.8136
    assert summarised(accuracies).mean == 0.8136


def test_the_interval_is_that_of_a_one_sample_t_test() -> None:
    values = [0.31, 0.29, 0.36, 0.33]
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    summary = summarised(values)
    assert (summary.low, summary.high) == (pytest.approx(low), pytest.approx(high))


def test_one_seed_has_a_mean_and_no_spread() -> None:
    summary = summarised([0.5])
    assert (summary.mean, summary.n) == (0.5, 1)
    assert math.isnan(summary.standard_deviation) and math.isnan(summary.low)


@pytest.mark.parametrize("lost", [math.nan, math.inf])
def test_a_number_that_is_not_finite_makes_no_mean(lost: float) -> None:
    summary = summarised([0.5, lost])
    assert math.isnan(summary.mean) and summary.n == 2


def test_only_numbers_that_all_runs_have_are_summarised() -> None:
    rows = [{"a": 1.0, "b": 2.0}, {"a": 3.0}]
    assert over_seeds(rows) == {"a": summarised([1.0, 3.0])}
    assert isinstance(over_seeds(rows)["a"], OverSeeds)


def test_ends_of_intervals_are_left_out_and_like_names_are_not() -> None:
    metrics = {"acc": 1.0, "acc_low": 0.9, "acc_high": 1.1, "f1/very_low": 0.2}
    assert without_ends(metrics) == {"acc": 1.0, "f1/very_low": 0.2}
