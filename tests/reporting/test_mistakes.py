"""The worst mistakes: an image, its truth, and the prediction."""

from __future__ import annotations

import pytest

from drawn import SPACE, draw_mistakes, texts


def test_a_mistake_names_truth_and_prediction() -> None:
    shown = texts(draw_mistakes(2))
    assert shown.count("<b>Coat</b>") == 2
    assert shown.count("is T-shirt/top") == 2


def test_a_confidence_is_never_rounded_to_certainty() -> None:
    assert texts(draw_mistakes(2)).count(f">{SPACE}99.9{SPACE}%") == 2


@pytest.mark.parametrize(("count", "channels"), [(0, 1), (1, 3), (6, 2)], ids=str)
def test_every_mistake_is_drawn_whatever_its_colours(count: int, channels: int) -> None:
    figure = draw_mistakes(count, channels=channels)
    assert sum(len(axes.images) for axes in figure.axes) == count
