"""Slices and contours: where values stand, what is drawn, and what no picture can show."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import same_color

from pipeline.reporting.style import VERMILION, png_bytes
from pipeline.reporting.sweep_slices import Scale, contour, slices

RATES = [1e-4, 1e-3, 1e-2, 1e-1, 1e-3, 1e-2]
WIDTHS = [8, 16, 32, 64, 128, 8]
LOSSES = [0.9, 0.5, 0.2, 0.7, 0.6, 0.4]


def test_a_logarithmic_setting_stands_at_its_exponent_and_names_in_a_row() -> None:
    assert Scale(RATES, log=True).places([1e-4, 1e-1]) == pytest.approx([-4, -1])
    assert Scale(["sgd", "adam", None], log=False).places(["adam", None, "sgd"]).tolist() == [
        0,
        1,
        2,
    ]
    assert Scale([0.0, 1.0], log=True).places([0.0, 1.0]).tolist() == [0, 1]  # log of 0 is none


def test_each_slice_holds_every_trial() -> None:
    figure = slices(
        [("rate", RATES, True), ("width", WIDTHS, False)], [LOSSES, LOSSES], of="val/loss"
    )
    points = [axes.collections[0].get_offsets() for axes in figure.axes]
    assert [len(each) for each in points] == [6, 6]
    assert np.asarray(points[0])[:, 1].tolist() == LOSSES
    assert figure.axes[0].get_xlabel() == "rate" and figure.axes[1].get_ylabel() == "val/loss"


@pytest.mark.parametrize(("maximize", "best"), [(False, (-2.0, 32.0)), (True, (-4.0, 8.0))])
def test_the_cross_is_the_best_trial(maximize: bool, best: tuple[float, float]) -> None:
    figure = contour(
        ("rate", RATES, True), ("width", WIDTHS, False), LOSSES, of="x", maximize=maximize
    )
    assert figure is not None
    (cross,) = [line for line in figure.axes[0].lines if same_color(line.get_color(), VERMILION)]
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == pytest.approx(best)


NO_PLANE: dict[str, tuple[list[Any], list[Any]]] = {
    "one_line": (list(range(6)), list(range(6))),
    "one_value": ([1.0] * 6, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    "too_few": ([1.0, 2.0, 3.0], [1.0, 4.0, 2.0]),
}


@pytest.mark.parametrize(("x", "y"), NO_PLANE.values(), ids=NO_PLANE)
def test_trials_that_span_no_plane_have_no_contour(x: list[Any], y: list[Any]) -> None:
    losses = [float(i) + 1 for i in range(len(x))]
    assert contour(("x", x, False), ("y", y, False), losses, of="loss") is None


def test_numbers_beside_null_stand_in_their_order() -> None:
    assert Scale([None, 128, 16, "auto", 8, 16], log=False).names == [
        "8",
        "16",
        "128",
        "auto",
        "null",
    ]


EXTREMES: dict[str, tuple[float, float]] = {
    "axes": (1e9, 0.1),
    "losses": (1.0, sys.float_info.max),
    "rewards": (1.0, -sys.float_info.max),
}


@pytest.mark.parametrize(("factor", "worst"), EXTREMES.values(), ids=EXTREMES)
def test_extreme_numbers_are_drawn(factor: float, worst: float) -> None:
    x, y = [factor * width for width in WIDTHS], [rate / factor for rate in RATES]
    losses = [worst, *LOSSES[1:]]
    columns = [("x", x, False), ("y", y, False)]
    for figure in (contour(*columns, losses, of="x"), slices(columns, [losses] * 2, of="x")):
        assert figure is not None and png_bytes(figure)
