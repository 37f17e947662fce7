"""The curves with their evidence: the epochs that decided, and the bands."""

from __future__ import annotations

import pytest

from drawn import draw_curves
from pipeline.reporting.style import PHONE, WIDE


@pytest.mark.parametrize(("width", "columns"), [(WIDE, 2), (PHONE, 1)], ids=["wide", "phone"])
def test_the_plots_stand_side_by_side_where_there_is_room(width: float, columns: int) -> None:
    assert draw_curves(width).axes[0].get_gridspec().ncols == columns


def test_each_span_that_decided_is_shaded_once() -> None:
    loss, _ = draw_curves().axes
    assert sorted(patch.get_x() + 0.5 for patch in loss.patches) == [1, 3]


def test_a_band_is_the_interval_over_examples() -> None:
    """Epoch 1: losses 0.9 and 1.1, mean 1, standard deviation 0.1, standard error 0.1 / √2."""
    loss, _ = draw_curves().axes
    (band,) = loss.collections  # only the training examples have their losses
    points = band.get_paths()[0].vertices
    upper = points[points[:, 0] == 1, 1].max()
    assert upper == pytest.approx(1 + 1.96 * 0.1 / 2**0.5)


def test_the_accuracy_has_a_band_and_ends_at_1() -> None:
    _, accuracy = draw_curves().axes
    assert len(accuracy.collections) == 1
    assert accuracy.get_ylim()[1] <= 1.005
