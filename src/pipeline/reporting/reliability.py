"""The reliability diagram: accuracy against confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.evaluation.intervals import wilson
from pipeline.evaluation.results import CalibrationBin
from pipeline.reporting.style import BLUE, INK, QUIET, SKY, dress, new_figure, percent_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot(bins: Sequence[CalibrationBin]) -> Figure:
    """Draw accuracy over confidence, with Wilson intervals, above the examples in each bin.

    A calibrated model lies on the diagonal; below the diagonal it is overconfident.
    """
    figure = new_figure(width=5.2, height=5.6)
    grid = figure.add_gridspec(2, 1, height_ratios=[4, 1.1])
    top = figure.add_subplot(grid[0])
    _curve(top, bins)
    _counts(figure.add_subplot(grid[1], sharex=top), bins)
    top.tick_params(labelbottom=False)
    return figure


def _curve(axes: Axes, bins: Sequence[CalibrationBin]) -> None:
    axes.plot([0, 1], [0, 1], color=QUIET, lw=1.1, ls=(0, (4, 3)))
    axes.text(0.035, 0.93, "underconfident", fontsize=8.5, color=QUIET, transform=axes.transAxes)
    axes.text(
        0.965,
        0.05,
        "overconfident",
        fontsize=8.5,
        color=QUIET,
        ha="right",
        transform=axes.transAxes,
    )
    for each in bins:
        share = wilson(round(each.accuracy * each.count), each.count)
        axes.plot(
            [each.mean_confidence] * 2,
            [share.low, share.high],
            color=SKY,
            lw=3.2,
            solid_capstyle="round",
        )
    axes.plot(
        [b.mean_confidence for b in bins], [b.accuracy for b in bins], color=BLUE, lw=1.4, alpha=0.5
    )
    axes.plot(
        [b.mean_confidence for b in bins],
        [b.accuracy for b in bins],
        "o",
        color=BLUE,
        ms=6,
        mec="white",
    )
    dress(axes, ylabel="accuracy", grid="both")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    percent_scale(axes.yaxis, decimals=0)


def _counts(axes: Axes, bins: Sequence[CalibrationBin]) -> None:
    middles = [(b.low + b.high) / 2 for b in bins]
    widths = [0.86 * (b.high - b.low) for b in bins]
    axes.bar(middles, [b.count for b in bins], width=widths, color=SKY)
    dress(axes, xlabel="confidence", ylabel="examples (log)")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(0, 12 * max((b.count for b in bins), default=1))
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.minorticks_off()
    percent_scale(axes.xaxis, decimals=0)
    for middle, each in zip(middles, bins, strict=True):
        axes.text(
            middle,
            each.count * 1.25,
            str(each.count),
            ha="center",
            va="bottom",
            fontsize=7,
            color=INK,
        )
