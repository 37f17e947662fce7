"""Loss against the number of training images, with the fitted law beyond what there is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from pipeline.evaluation.power_law import PowerLaw
from pipeline.reporting.style import BLUE, INK, QUIET, VERMILION, dress, legend_above, new_figure


def plot(
    law: PowerLaw,
    *,
    sizes: Sequence[float],
    train: Sequence[float],
    val: Sequence[float],
    measure: str,
) -> Figure:
    """Draw every run, the law through the validation losses with its interval, and twice the data.

    sizes, train, val: of each run, in images and losses.  measure: the name of the loss.
    """
    figure = new_figure(width=7.6, height=4.2)
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.scatter(
        sizes, val, s=22, color=VERMILION, alpha=0.75, lw=0, label="validation, each run", zorder=3
    )
    known = [(n, t) for n, t in zip(sizes, train, strict=True) if t > 0]
    if known:
        x, y = zip(*known, strict=True)
        axes.scatter(x, y, s=18, color=BLUE, alpha=0.55, lw=0, label="training, each run")
    _draw_law(axes, law)
    largest = law.sizes[-1]
    twice = law.at(2 * largest)
    axes.plot([2 * largest], [twice.value], "D", color=INK, ms=6, mec="white", zorder=4)
    axes.annotate(
        f"twice the data: {twice.value:.3g}", (2 * largest, twice.value), xytext=(6, 10),
        textcoords="offset points", fontsize=9, fontweight="bold", color=INK,
    )  # fmt: skip
    dress(axes, xlabel="training images", ylabel=measure, grid="both")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter("{x:.3g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    legend_above(axes, num_columns=4)
    return figure


def _draw_law(axes: Axes, law: PowerLaw) -> None:
    """Draw the law up to ten times the largest size, its interval, and its floor."""
    largest = law.sizes[-1]
    x = np.geomspace(law.sizes[0], 10 * largest, 80)
    estimates = [law.at(float(n)) for n in x]
    low, high = [e.low for e in estimates], [e.high for e in estimates]
    axes.fill_between(x, low, high, color=VERMILION, alpha=0.15, lw=0)

    y = np.array([e.value for e in estimates])
    measured = x <= largest * 1.0001
    axes.plot(x[measured], y[measured], color=VERMILION, lw=1.8)
    beyond, dashes = ~measured, (0, (4, 2))
    axes.plot(x[beyond], y[beyond], color=VERMILION, lw=1.8, ls=dashes, label="law, extrapolated")
    if law.a > 0.02 * y.min():
        axes.axhline(law.a, color=QUIET, lw=1.0, ls=(0, (1, 2)), label="floor")
