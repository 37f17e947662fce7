"""How benchmarks/bare_loop.py tells a loss of speed from a busy machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from bare_loop import CASES, NOISE, RECORDED, again, lost

NAME = "cnn, batch 32"
SLOW = 1.01 * NOISE * RECORDED[NAME]


def test_every_case_has_a_recorded_ratio() -> None:
    assert RECORDED.keys() == CASES.keys()


@pytest.mark.parametrize(
    ("ratios", "one_more", "is_lost"),
    [
        ([RECORDED[NAME]], False, False),
        ([SLOW], True, False),
        ([SLOW, SLOW], True, False),
        ([SLOW, RECORDED[NAME]], False, False),
        ([SLOW, SLOW, SLOW], False, True),
        ([SLOW, SLOW, RECORDED[NAME]], False, False),
    ],
)
def test_only_three_slow_races_are_a_loss(
    ratios: list[float], one_more: bool, is_lost: bool
) -> None:
    assert (again(NAME, ratios), lost(NAME, ratios)) == (one_more, is_lost)
