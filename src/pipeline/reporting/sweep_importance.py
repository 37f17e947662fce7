"""Which settings decided a sweep, with the spread of that answer."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from pipeline.records import Estimate
from pipeline.reporting.style import BLUE, INK, QUIET, dress, new_figure


def plot(importances: Mapping[str, Estimate]) -> Figure:
    """Draw a bar for each setting, the largest on top, and the share of equal settings."""
    names = list(importances)[::-1]
    shares = [importances[name] for name in names]
    figure = new_figure(width=7.6, height=1.1 + 0.36 * len(names))
    axes = figure.subplots()
    values = [share.value for share in shares]
    below = [share.value - share.low for share in shares]
    above = [share.high - share.value for share in shares]
    axes.barh(range(len(names)), values, height=0.58, color=BLUE, alpha=0.85)
    axes.errorbar(
        values,
        range(len(names)),
        xerr=[below, above],
        fmt="none",
        ecolor=INK,
        elinewidth=1.3,
        capsize=3,
    )
    axes.axvline(1 / len(names), color=QUIET, lw=1.1, ls=(0, (4, 3)))
    axes.annotate(
        "all equal", (1 / len(names), 1.0), xycoords=("data", "axes fraction"), xytext=(4, 3),
        textcoords="offset points", fontsize=8.5, color=QUIET,
    )  # fmt: skip
    dress(
        axes,
        xlabel="share in reaching the best trials (PED-ANOVA), 95 % interval over trials",
        grid="x",
    )
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol="\N{NO-BREAK SPACE}%"))
    return figure
