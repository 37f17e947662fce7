"""How the diagnosis judged the trials of a sweep, overall and along one setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from pipeline.reporting.style import INK, SERIES, dress, new_figure


def plot(shares: Mapping[str, Sequence[float]], *, labels: Sequence[str], name: str) -> Figure:
    """Draw stacked bars.

    shares: verdict → its share (0 … 1) in each column.  labels: of the columns.  name: of the axis.
    """
    figure = new_figure(width=7.6, height=3.8)
    axes = figure.subplots()
    base = [0.0] * len(labels)
    for index, (verdict, row) in enumerate(shares.items()):
        color = SERIES[index % len(SERIES)]
        axes.bar(
            range(len(labels)), row, bottom=base, width=0.72, color=color, alpha=0.85, label=verdict
        )
        base = [b + r for b, r in zip(base, row, strict=True)]
    dress(axes, xlabel=name, ylabel="share of the trials")
    axes.set_xticks(range(len(labels)), labels)
    axes.tick_params(axis="x", labelcolor=INK)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol="\N{NO-BREAK SPACE}%"))
    axes.legend(
        loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9, labelcolor=INK
    )
    return figure
