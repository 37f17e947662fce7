"""The test accuracy of several models, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.errors import DataError
from pipeline.records import Estimate
from pipeline.reporting.sentences import percent
from pipeline.reporting.style import (
    BLUE,
    INK,
    LONGEST_NAME,
    NARROW,
    SKY,
    dress,
    label,
    new_figure,
    percent_scale,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot(models: Sequence[tuple[str, Estimate]], *, width: float = 8.6) -> Figure:
    """Draw the test accuracy of each named model with its interval, the best on top. width: inches.

    Raises:
        DataError: when there is no model.
    """
    from matplotlib.ticker import MaxNLocator

    if not models:
        raise DataError("There are 0 models to compare. Train one with `pipeline train`.")
    ordered = sorted(models, key=lambda each: each[1].value)
    figure = new_figure(width=width, height=1.1 + 0.42 * len(ordered))
    axes = figure.add_subplot()
    best = ordered[-1][1]
    axes.axvspan(best.low, best.high, color=SKY, alpha=0.16, lw=0)
    for row, (_, accuracy) in enumerate(ordered):
        _draw(axes, row, accuracy)

    wide = width >= NARROW
    shaded = " (shaded: the best model's)" if wide else ""
    dress(axes, xlabel=f"test accuracy, 95 % interval{shaded}", grid="x")
    axes.set_yticks(
        range(len(ordered)), [label(name, most=LONGEST_NAME if wide else 14) for name, _ in ordered]
    )
    axes.tick_params(axis="y", labelcolor=INK, labelsize=10)
    axes.set_ylim(-0.6, len(ordered) - 0.4)
    axes.margins(x=0.12 if wide else 0.3)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7 if wide else 3))
    percent_scale(axes.xaxis)
    return figure


def _draw(axes: Axes, row: int, accuracy: Estimate) -> None:
    axes.plot([accuracy.low, accuracy.high], [row, row], color=SKY, lw=5, solid_capstyle="round")
    axes.plot([accuracy.value], [row], "o", color=BLUE, ms=8, mec="white")
    axes.annotate(
        percent(accuracy.value),
        (accuracy.high, row),
        xytext=(9, 0),
        textcoords="offset points",
        va="center",
        fontsize=9,
        color=INK,
    )
