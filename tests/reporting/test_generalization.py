"""The accuracy elsewhere: a panel for corruptions, one for other data sets."""

from __future__ import annotations

import pytest

from drawn import ROWS
from pipeline.evaluation.generalization import GeneralizationRow
from pipeline.reporting import generalization

CORRUPTED, OTHER = "Corrupted test images", "Other data"


@pytest.mark.parametrize(
    ("rows", "panels"),
    [
        pytest.param(ROWS[:1], [CORRUPTED], id="clean"),
        pytest.param(ROWS[1:3], [CORRUPTED], id="corruption"),
        pytest.param(ROWS[3:], [OTHER], id="other_data"),
        pytest.param(ROWS[::3], [CORRUPTED, OTHER], id="clean_and_other_data"),
    ],
)
def test_a_panel_is_drawn_for_each_kind_of_images(
    rows: list[GeneralizationRow], panels: list[str]
) -> None:
    figure = generalization.plot(rows)
    assert [axes.get_title(loc="left") for axes in figure.axes] == panels
