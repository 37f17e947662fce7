"""Two models on the same images: McNemar's exact test by hand, and its interval."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from pipeline.evaluation.paired import PairedAnswers, compare_answers


def compared(gained: int, lost: int, *, both: int = 50, neither: int = 10) -> PairedAnswers:
    candidate = np.repeat([True, False, True, False], [gained, lost, both, neither])
    champion = np.repeat([False, True, True, False], [gained, lost, both, neither])
    return compare_answers(candidate, champion)


def by_hand(gained: int, lost: int) -> float:
    """Twice the probability of a split at least as uneven, of fair coins."""
    n, fewer = gained + lost, min(gained, lost)
    return float(min(1.0, 2 * sum(comb(n, k) for k in range(fewer + 1)) / 2**n))


@pytest.mark.parametrize(
    ("gained", "lost", "better"),
    [
        pytest.param(9, 1, True, id="nine_to_one"),
        pytest.param(1, 9, False, id="one_to_nine"),
        pytest.param(8, 2, False, id="eight_to_two"),
        pytest.param(6, 0, True, id="six_to_none"),
        pytest.param(5, 0, False, id="five_to_none"),
        pytest.param(40, 40, False, id="even"),
    ],
)
def test_the_p_value_is_that_of_fair_coins(gained: int, lost: int, better: bool) -> None:
    found = compared(gained, lost)
    assert (found.gained, found.lost) == (gained, lost)
    assert found.p_value == pytest.approx(by_hand(gained, lost))
    assert found.better is better
    assert found.difference.value == pytest.approx((gained - lost) / (gained + lost + 60))


def test_the_interval_leaves_out_zero_exactly_where_the_test_rejects() -> None:
    for gained in range(21):
        for lost in range(21):
            found = compared(gained, lost)
            leaves_out = found.difference.low > 0 or found.difference.high < 0
            assert leaves_out is (found.p_value < 0.05), (gained, lost)
            assert found.difference.low <= found.difference.value <= found.difference.high


def test_equal_answers_show_no_difference() -> None:
    found = compared(0, 0)
    assert (found.p_value, found.difference.value, found.better) == (1.0, 0.0, False)


def test_equally_good_models_are_called_better_in_at_most_one_of_forty_comparisons() -> None:
    """The test is exact: one side of 5 % is at most 2.5 % (600 draws, three standard errors)."""
    generator = np.random.default_rng(0)
    right = generator.random((2, 600, 200)) < 0.9
    called = sum(compare_answers(a, b).better for a, b in zip(*right, strict=True))
    assert called / 600 <= 0.025 + 3 * (0.025 * 0.975 / 600) ** 0.5
