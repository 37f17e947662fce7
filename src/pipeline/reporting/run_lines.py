"""Several runs in one picture: each line has its colour, mark and stroke, and a name at its end."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from pipeline.errors import DataError
from pipeline.reporting.style import QUIET, SERIES, dress, label, name_line_ends, new_figure

# Marks, and the signs for them beside the names; the second round of runs has hollow ones.
_MARKS = ("o", "s", "^", "D", "v", "P", "X")
_SIGNS = ("●■▲◆▼✚✖", "○□△◇▽✛✕")
_STROKES = ("-", (0, (5, 2)))
# Values that span more than a decade are drawn on a logarithmic axis.
_DECADE = 10.0
# A run that diverges may reach 1e30: beyond this many times the usual height the axis is cut.
_RUNAWAY = 1e4


@dataclass(frozen=True)
class Line:
    """One run.

    x, y: ``[P]`` float64; NaN in y leaves a gap.  behind: ``[P]``, a thin second line, or None.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    behind: np.ndarray | None = None


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    note: small text on the right of the title.  share: whether values are 0 … 1, shown in per cent.
    """

    title: str
    xlabel: str
    lines: Sequence[Line]
    note: str = ""
    ylabel: str = ""
    share: bool = False


def plot(panels: Sequence[Panel], *, heading: str = "") -> Figure:
    """Draw panels side by side with one common vertical axis; a run looks the same in all of them.

    heading: the setting whose values are the runs' names, written above them.

    Numbers that are not finite leave gaps, and so do zeros on a logarithmic axis. A run without any
    other number is listed below the lines. Names stand beside the last panel.
    Raises `DataError` where no line has a number.
    """
    drawn = [v for panel in panels for line in panel.lines for v in _values(line)]
    finite = np.array([v for v in drawn if np.isfinite(v)])
    if len(finite) == 0:
        raise DataError(
            "No run has a number to draw: all diverged in their first epoch, or measured nothing."
        )
    figure = new_figure(width=8.6, height=4.2)
    rows = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    logarithmic = not panels[0].share and _spans_a_decade(finite)
    for axes, panel in zip(rows, panels, strict=True):
        _draw(axes, panel, logarithmic=logarithmic)
    _limit(rows[0], panels)
    ends = _ends(panels[-1], logarithmic=logarithmic)
    name_line_ends(rows[-1], ends)
    _head(rows[-1], heading)
    _list_missing(rows[0], panels[-1], logarithmic=logarithmic)
    return figure


def _values(line: Line) -> list[float]:
    behind = [] if line.behind is None else line.behind.tolist()
    return [*line.y.tolist(), *behind]


def _spans_a_decade(finite: np.ndarray) -> bool:
    positive = finite[finite > 0]
    if len(positive) == 0 or np.any(finite < 0):
        return False
    return bool(positive.max() > _DECADE * positive.min())


def _draw(axes: Axes, panel: Panel, *, logarithmic: bool) -> None:
    if logarithmic:
        axes.set_yscale("log", nonpositive="mask")
        axes.yaxis.set_minor_formatter(FuncFormatter(partial(_minor, axes)))
    for place, line in enumerate(panel.lines):
        _draw_line(axes, line, place=place)
    dress(axes, title=panel.title, xlabel=panel.xlabel, ylabel=panel.ylabel)
    axes.tick_params(axis="y", which="minor", length=0, labelsize=9, colors=QUIET)
    axes.set_title(panel.note, loc="right", fontsize=8.5, color=QUIET, pad=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10, min_n_ticks=1))
    axes.margins(x=0.03, y=0.08)
    if panel.share:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol="\N{NO-BREAK SPACE}%"))


def _draw_line(axes: Axes, line: Line, *, place: int) -> None:
    """Draw a run with about 12 marks, of which the last is on its last value."""
    color, mark, hollow = _color(place), _MARKS[place % len(_MARKS)], _round(place)
    last, step = len(line.y) - 1, max(1, len(line.y) // 12)
    common: dict[str, Any] = {
        "color": color,
        "marker": mark,
        "markevery": sorted(range(last, -1, -step)),
    }
    face = "white" if hollow else color
    y = np.where(np.isfinite(line.y), line.y, np.nan)
    axes.plot(line.x, y, ls=_STROKES[hollow], lw=1.8, ms=4.5, mfc=face, **common)
    if line.behind is not None:
        behind = np.where(np.isfinite(line.behind), line.behind, np.nan)
        axes.plot(line.x, behind, ls=":", lw=1.4, ms=3, mfc="white", **common)


def _minor(axes: Axes, value: float, _: int) -> str:
    """Label 2 and 5 between the powers of ten where few of these are in sight."""
    low, high = axes.get_ylim()
    digit = round(value / 10 ** math.floor(math.log10(value)))
    return f"{value:g}" if high < 100 * low and digit in (2, 5) else ""


def _round(place: int) -> int:
    return place // len(_MARKS) % len(_STROKES)


def _color(place: int) -> str:
    """Return a run's colour; in the second round each mark has another colour."""
    return SERIES[(place + 3 * _round(place)) % len(SERIES)]


def _limit(axes: Axes, panels: Sequence[Panel]) -> None:
    """Cut the axis where one run is far above all others."""
    lines = [line.y[np.isfinite(line.y)] for panel in panels for line in panel.lines]
    tops = [float(values.max()) for values in lines if len(values)]
    limit = _RUNAWAY * float(np.median(tops)) if tops else 0.0
    if limit > 0 and max(tops) > limit:
        axes.set_ylim(top=limit)


def _drawn(line: Line, *, logarithmic: bool) -> np.ndarray:
    """Return ``[P]`` bool: which numbers of a run have a place on the axis."""
    return np.isfinite(line.y) & ((line.y > 0) | (not logarithmic))


def _ends(panel: Panel, *, logarithmic: bool) -> list[tuple[float, float, str, str]]:
    ends = []
    for place, line in enumerate(panel.lines):
        drawn = _drawn(line, logarithmic=logarithmic)
        if drawn.any():
            last = np.flatnonzero(drawn)[-1]
            sign = _SIGNS[_round(place)][place % len(_MARKS)]
            x, y = float(line.x[last]), float(line.y[last])
            ends.append((x, y, f"{sign} {label(line.name)}", _color(place)))
    return ends


def _head(axes: Axes, heading: str) -> None:
    axes.annotate(
        label(heading), (1.0, 1.0), xycoords="axes fraction", xytext=(2, 8),
        textcoords="offset points", fontsize=8.5, color=QUIET, annotation_clip=False,
    )  # fmt: skip


def _list_missing(axes: Axes, panel: Panel, *, logarithmic: bool) -> None:
    lines = [line for line in panel.lines if not _drawn(line, logarithmic=logarithmic).any()]
    if lines:
        names = [f"{label(i.name)} ({'0' if np.any(i.y == 0) else 'not finite'})" for i in lines]
        axes.annotate(
            textwrap.fill(f"not drawn: {', '.join(names)}", 90),
            (0.01, 0.02),
            xycoords="axes fraction",
            va="bottom",
            fontsize=8.5,
            color=QUIET,
            zorder=5,
        )
