"""Accuracy on other data: corruptions by severity, and other data sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.errors import DataError
from pipeline.evaluation.generalization import GeneralizationRow
from pipeline.reporting.sentences import percent
from pipeline.reporting.style import (
    BLUE,
    INK,
    QUIET,
    SERIES,
    dress,
    label,
    name_line_ends,
    new_figure,
    percent_scale,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROOM = 0.1  # accuracy of a bar that has room for its number
_MARKERS = "osD^vPX"


def plot(rows: Sequence[GeneralizationRow], *, width: float | None = None) -> Figure:
    """Draw a line for each corruption over its severity, and a bar for each other data set.

    A row of severity 0 (the clean test set) begins every line. Intervals are drawn as bars.
    width: inches, with one panel below the other; None for both panels side by side.

    Raises:
        DataError: when there are no rows.
    """
    if not rows:
        raise DataError(
            "There are 0 generalisation rows to draw. Set evaluation.corruptions or other_sets."
        )
    clean = [row for row in rows if row.severity == 0]
    corrupted = [row for row in rows if row.severity]
    others = [row for row in rows if row.severity is None]
    widths = [6.0] * bool(corrupted or clean) + [2.9] * bool(others)
    if width is None:
        figure = new_figure(width=max(sum(widths), 4.2), height=3.9)
        grid = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
    else:
        figure = new_figure(width=width, height=3.4 * len(widths))
        grid = figure.subplots(len(widths), 1, squeeze=False)[:, 0]
    if corrupted or clean:
        _lines(grid[0], corrupted, clean)
    if others:
        _bars(grid[-1], others, clean)
    return figure


def _lines(
    axes: Axes, corrupted: Sequence[GeneralizationRow], clean: Sequence[GeneralizationRow]
) -> None:
    from matplotlib.ticker import MaxNLocator

    names = list(dict.fromkeys(row.name for row in corrupted)) or [clean[0].name]
    ends = []
    for i, name in enumerate(names):
        rows = [row for row in corrupted if row.name == name]
        points = [*clean, *sorted(rows, key=lambda row: row.severity or 0)]
        color, mark = SERIES[i % len(SERIES)], _MARKERS[i % len(_MARKERS)]
        # Beside one another, so that intervals do not overlap
        offset = 0.05 * (i - len(names) / 2)
        x = [row.severity + offset if row.severity else 0.0 for row in points]
        y = [row.accuracy.value for row in points]
        low, high = zip(*((row.accuracy.low, row.accuracy.high) for row in points), strict=True)
        axes.vlines(x, low, high, color=color, lw=1.4, alpha=0.6)
        axes.plot(x, y, color=color, marker=mark, ms=5, mec="white", mew=0.6, lw=1.7)
        ends.append((x[-1], y[-1], label(name, most=16), color))
    dress(axes, title="Corrupted test images", xlabel="severity (0 = clean)", ylabel="accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    percent_scale(axes.yaxis, decimals=0)
    axes.margins(y=0.08)
    name_line_ends(axes, ends)


def _bars(
    axes: Axes, others: Sequence[GeneralizationRow], clean: Sequence[GeneralizationRow]
) -> None:
    bars = [*clean, *others]
    values = [row.accuracy.value for row in bars]
    spread = [
        [row.accuracy.value - row.accuracy.low for row in bars],
        [row.accuracy.high - row.accuracy.value for row in bars],
    ]
    colors = [QUIET] * len(clean) + [BLUE] * len(others)
    axes.bar(range(len(bars)), values, width=0.55, color=colors, alpha=0.85)
    axes.errorbar(
        range(len(bars)), values, yerr=spread, fmt="none", ecolor=INK, elinewidth=1.2, capsize=3
    )
    for i, row in enumerate(bars):
        high = row.accuracy.low > _ROOM
        axes.text(
            i,
            0.03 if high else row.accuracy.high + 0.02,
            percent(row.accuracy.value, digits=1),
            ha="center",
            fontsize=9,
            fontweight="bold",
            color="white" if high else INK,
        )
    dress(axes, title="Other data")
    axes.set_xticks(range(len(bars)), [label(row.name, most=14) for row in bars])
    axes.tick_params(axis="x", labelcolor=INK)
    axes.set(ylim=(0, 1.05), xlim=(-0.6, len(bars) - 0.4))
    percent_scale(axes.yaxis, decimals=0)
