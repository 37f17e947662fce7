"""Several runs in one picture: lines that differ without colour, names, axes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.errors import DataError
from pipeline.reporting.run_lines import Line, Panel, plot
from pipeline.runs.compared import MOST_RUNS


def lines(*values: list[float]) -> list[Line]:
    return [Line(f"run{i}", np.arange(1.0, len(v) + 1), np.array(v)) for i, v in enumerate(values)]


def test_lines_are_told_apart_without_colour() -> None:
    figure = plot([Panel("t", "x", lines(*([[1.0, 2.0]] * MOST_RUNS)))])
    drawn = {(line.get_marker(), str(line.get_linestyle())) for line in figure.axes[0].get_lines()}
    assert len(drawn) == MOST_RUNS


def test_each_name_begins_with_the_sign_of_its_line_and_none_overlap() -> None:
    figure = plot([Panel("t", "x", lines([1.0, 1.0], [1.0, 1.001], [1.0, 2.0]))])
    notes = [a for a in figure.axes[0].texts if "run" in a.get_text()]
    assert [a.get_text() for a in notes] == ["● run0", "■ run1", "▲ run2"]
    heights = sorted(float(a.xy[1]) for a in notes)  # type: ignore[attr-defined]
    assert min(np.diff(heights)) > 0.06
    assert max(heights) <= 1.0


def test_decades_are_logarithmic_and_zeros_are_told() -> None:
    figure = plot([Panel("t", "x", lines([1.0, 1e-6], [0.0, 0.0], [math.nan, math.inf]))])
    axes = figure.axes[0]
    assert axes.get_yscale() == "log"
    told = " ".join(text.get_text() for text in axes.texts)
    assert "run1 (0)" in told and "run2 (not finite)" in told
    assert plot([Panel("t", "x", lines([1.0, 0.5]))]).axes[0].get_yscale() == "linear"


def test_a_run_that_ran_away_does_not_flatten_the_others() -> None:
    figure = plot([Panel("t", "x", lines([1.0, 1e30], [1.0, 0.5], [1.0, 0.7]))])
    assert figure.axes[0].get_ylim()[1] < 1e6


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(DataError, match="No run has a number"):
        plot([Panel("t", "x", lines([math.nan], [math.inf]))])
