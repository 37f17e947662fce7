"""A picture of a range test: the loss after a short run against its learning rate."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.reporting.style import BLUE, INK, QUIET, VERMILION, WIDE, dress, new_figure
from pipeline.runs.rates import TunedRate


def plot(tuned: TunedRate) -> Figure:
    """Draw the loss of each rate, the loss before, the suggestion and the largest stable rate."""
    found = tuned.found
    figure = new_figure(width=WIDE, height=3.6)
    axes = figure.add_subplot()
    ceiling = _ceiling(tuned)
    rates = [tried.rate for tried in found.tried]
    losses = [min(tried.loss, ceiling) for tried in found.tried]
    axes.plot(rates, losses, color=BLUE, marker="o", ms=4, lw=1.8)
    lost = [tried.rate for tried in found.tried if tried.loss > ceiling]
    axes.plot(lost, [ceiling] * len(lost), color=VERMILION, marker="^", ms=7, ls="")
    axes.set_xscale("log")
    axes.axhline(found.before, color=QUIET, lw=0.9, ls=(0, (2, 3)))
    axes.annotate(
        "before", (rates[0], found.before), xytext=(0, 3), textcoords="offset points", fontsize=8,
        color=QUIET,
    )  # fmt: skip
    _mark(axes, tuned.rate, f"suggested: {tuned.rate:g}", INK)
    if found.largest_stable is not None and found.lowest_unstable is not None:
        _mark(axes, found.largest_stable, f"largest stable: {found.largest_stable:.2g}", VERMILION)
    dress(
        axes,
        title=f"Training loss after {tuned.steps} steps",
        xlabel="learning rate",
        ylabel="loss",
    )
    return figure


def _ceiling(tuned: TunedRate) -> float:
    """The height that a higher loss is drawn at."""
    found = tuned.found
    lowest = min(t.loss for t in found.tried if math.isfinite(t.loss))
    return found.before + 0.3 * (found.before - lowest)


def _mark(axes: Axes, rate: float, text: str, color: str) -> None:
    axes.axvline(rate, color=color, lw=0.9, ls=(0, (2, 3)), zorder=0.5)
    axes.annotate(
        text, (rate, 1.0), xycoords=("data", "axes fraction"), xytext=(3, -9),
        textcoords="offset points", fontsize=8.5, color=color,
    )  # fmt: skip
