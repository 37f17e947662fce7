"""Two objectives of a sweep against each other, and the trials that no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from pipeline.reporting.style import BLUE, INK, VERMILION, dress, new_figure

Point = tuple[float, float]
MOST_NUMBERS = 15  # of trials that stand beside their points


def plot(
    points: Sequence[Point], front: Sequence[tuple[int, Point]], *, names: tuple[str, str]
) -> Figure:
    """Draw all trials and the front, its trials with their numbers. names: of the objectives."""
    figure = new_figure(width=7.6, height=4.6)
    axes = figure.subplots()
    all_x, all_y = zip(*points, strict=True)
    axes.scatter(all_x, all_y, s=20, color=BLUE, alpha=0.45, lw=0, label="trials")
    ordered = sorted(front, key=lambda each: each[1])
    x, y = zip(*(point for _, point in ordered), strict=True)
    axes.plot(x, y, color=VERMILION, marker="o", ms=6, mec="white", lw=1.5, label="front", zorder=3)
    named = ordered if len(ordered) <= MOST_NUMBERS else []
    for number, point in named:
        axes.annotate(
            f"#{number}", point, xytext=(5, 5), textcoords="offset points", fontsize=8.5, color=INK
        )
    for column, scale in ((all_x, axes.set_xscale), (all_y, axes.set_yscale)):
        if min(column) > 0 and max(column) > 30 * min(column):
            scale("log")
    dress(axes, xlabel=names[0], ylabel=names[1], grid="both")
    axes.legend(loc="upper right", frameon=False, fontsize=9, labelcolor=INK)
    return figure
