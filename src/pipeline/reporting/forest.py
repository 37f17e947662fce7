"""A forest plot: what each arm changes, with its interval, against no change and the controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from pipeline.records import Estimate
from pipeline.reporting.style import BLUE, GREEN, INK, QUIET, VERMILION, dress, new_figure

_COLOURS = {"confirmed": GREEN, "harmful": VERMILION, "not confirmed": BLUE, "control": QUIET}


@dataclass(frozen=True)
class Row:
    """One arm. change: share by which the loss falls.  verdict: confirmed, not confirmed, harmful, control."""

    name: str
    change: Estimate
    verdict: str


def plot(rows: Sequence[Row], *, title: str) -> Figure:
    """Draw one line for each arm, the first on top; the line at 0 is no change."""
    figure = new_figure(width=8.6, height=1.4 + 0.42 * len(rows))
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        colour, e = _COLOURS[row.verdict], row.change
        low, high = max(e.low, -1.5), e.high
        axes.plot([low, high], [place, place], color=colour, lw=2.2, solid_capstyle="butt")
        axes.plot(
            [max(e.value, -1.5)], [place], marker="s" if row.verdict == "control" else "o", ms=7, color=colour
        )
        axes.annotate(
            f"{100 * e.value:.0f} % [{100 * e.low:.0f}, {100 * e.high:.0f}]  {row.verdict}",
            (1.0, place),
            xycoords=("axes fraction", "data"),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=colour,
            annotation_clip=False,
        )
    axes.axvline(0, color=INK, lw=0.9)
    axes.set_yticks(range(len(rows)), [row.name.replace("_", " ") for row in rows], color=INK)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    dress(axes, title=title, xlabel="to the right: the loss is lower", grid="x")
    return figure
