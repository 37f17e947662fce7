"""Two objectives of a sweep against each other, and the trials that no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pipeline.reporting.style import BLUE, INK, VERMILION, dress, new_figure

Point = tuple[float, float]


def plot(points: Sequence[Point], front: Sequence[tuple[int, Point]], *, names: tuple[str, str]) -> Figure:
    """Draw all trials and the front, its trials with their numbers. names: of the objectives."""
    figure = new_figure(width=7.6, height=4.6)
    axes = figure.subplots()
    axes.scatter(
        [p[0] for p in points], [p[1] for p in points], s=20, color=BLUE, alpha=0.45, lw=0, label="trials"
    )
    ordered = sorted(front, key=lambda each: each[1])
    x, y = ([p[i] for _, p in ordered] for i in (0, 1))
    axes.plot(x, y, color=VERMILION, marker="o", ms=6, mec="white", lw=1.5, label="front", zorder=3)
    for number, point in ordered if len(ordered) <= 15 else ():
        axes.annotate(f"#{number}", point, xytext=(5, 5), textcoords="offset points", fontsize=8.5, color=INK)
    for values, scale in ((x, axes.set_xscale), (y, axes.set_yscale)):
        column = np.array([p[0] if values is x else p[1] for p in points])
        if column.min() > 0 and column.max() > 30 * column.min():
            scale("log")
    dress(axes, xlabel=names[0], ylabel=names[1], grid="both")
    axes.legend(loc="upper right", frameon=False, fontsize=9, labelcolor=INK)
    return figure
