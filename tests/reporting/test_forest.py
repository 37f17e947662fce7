"""The forest plot: every arm with its numbers."""

from __future__ import annotations

import pytest

from drawn import SPACE, VERIFICATION, draw_forest, texts
from pipeline.reporting import forest
from pipeline.reporting.style import PHONE, WIDE


def test_the_controls_follow_the_arms() -> None:
    rows = forest.rows_of(VERIFICATION)
    assert [(row.name, row.verdict) for row in rows] == [
        ("more_data", "confirmed"),
        ("<l2>", "not confirmed"),
        ("control: reseeded", "control"),
        ("control: random search", "control"),
    ]
    assert rows[2].reduction == VERIFICATION.reseed


@pytest.mark.parametrize("width", [WIDE, PHONE], ids=["wide", "phone"])
def test_every_arm_stands_with_its_name_and_numbers(width: float) -> None:
    text = " | ".join(texts(draw_forest(width)))
    for expected in ("more data", f"20{SPACE}% [10, 30]", f"0{SPACE}% [-2, 1]"):
        assert expected in text
    assert "-0" not in text
