"""The forest plot: every arm with its numbers."""

from __future__ import annotations

import pytest
from matplotlib.text import Text

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


@pytest.mark.parametrize("width", [WIDE, PHONE], ids=["wide", "phone"])
def test_an_arm_of_any_name_leaves_room_for_the_lines(width: float) -> None:
    row = forest.Row("lr=$rate, " * 10, VERIFICATION.arms[0].improvement, "confirmed")
    figure = forest.plot([row], title="mlp", width=width)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert axes.get_position().width > 0.3
    names = [text for text in figure.findobj(Text) if text.get_text().startswith("lr=")]
    assert names and all(name.get_window_extent().x1 < 0.8 * figure.bbox.width for name in names)
