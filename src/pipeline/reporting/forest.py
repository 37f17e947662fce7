"""A forest plot: the change that each arm makes, with its interval, beside the controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.diagnosis.paired_trials import CONFIRMED, HARMFUL, NOT_CONFIRMED
from pipeline.diagnosis.proof import Verification
from pipeline.records import Estimate
from pipeline.reporting.sentences import whole_percent, words
from pipeline.reporting.style import (
    BLUE,
    GREEN,
    INK,
    NARROW,
    QUIET,
    VERMILION,
    dress,
    label,
    new_figure,
    percent_scale,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEAST = -1.5  # an arm that does more harm is drawn at the edge
_LONGEST_NAME = 36  # characters; the name of a person's own arm may have any number
CONTROL = "control"
_COLOURS = {CONFIRMED: GREEN, HARMFUL: VERMILION, NOT_CONFIRMED: BLUE, CONTROL: QUIET}


@dataclass(frozen=True)
class Row:
    """One line of the plot.

    reduction: of the loss, relative; negative where it rises.
    verdict: confirmed, not confirmed, harmful, or control.
    """

    name: str
    reduction: Estimate
    verdict: str


def rows_of(verification: Verification) -> list[Row]:
    """Return a row for every arm of a verification, and for its controls, if it has any."""
    controls = (
        ("control: reseeded", verification.reseed),
        ("control: random search", verification.random),
    )
    return [
        *(Row(arm.name, arm.improvement, arm.verdict) for arm in verification.arms),
        *(Row(name, reduction, CONTROL) for name, reduction in controls if reduction),
    ]


def plot(rows: Sequence[Row], *, title: str, width: float = 8.6) -> Figure:
    """Draw one line for each arm, the first on top; the line at 0 is no change.

    width: inches. In a narrow figure, names and numbers stand above their lines, not beside them.
    """
    narrow = width < NARROW
    figure = new_figure(width=width, height=1.4 + (0.6 if narrow else 0.42) * len(rows))
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        _line(axes, row, place)
        (_text_above if narrow else _text_beside)(axes, row, place)
    axes.axvline(0, color=INK, lw=0.9)
    names = [] if narrow else [_shown(row) for row in rows]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(rows) - 0.5, -0.75 if narrow else -0.5)
    percent_scale(axes.xaxis, decimals=0, symbol="%")
    dress(axes, title=title, xlabel="to the right: the loss is lower", grid="x")
    axes.tick_params(axis="y", labelcolor=INK)
    return figure


def _shown(row: Row) -> str:
    return label(words(row.name), most=_LONGEST_NAME)


def _line(axes: Axes, row: Row, place: int) -> None:
    colour, e = _COLOURS[row.verdict], row.reduction
    low, value = max(e.low, _LEAST), max(e.value, _LEAST)
    axes.plot(
        [low, max(e.high, _LEAST)], [place, place], color=colour, lw=2.4, solid_capstyle="butt"
    )
    axes.plot([value], [place], marker="s" if row.verdict == CONTROL else "o", ms=7, color=colour)


def _text_beside(axes: Axes, row: Row, place: int) -> None:
    axes.annotate(
        f"{whole_percent(row.reduction)}  {row.verdict}",
        (1.0, place),
        xycoords=("axes fraction", "data"),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        color=INK,
        annotation_clip=False,
    )


def _text_above(axes: Axes, row: Row, place: int) -> None:
    for text, x, side in ((_shown(row), 0.0, "left"), (whole_percent(row.reduction), 1.0, "right")):
        axes.annotate(
            text,
            (x, place - 0.42),
            xycoords=("axes fraction", "data"),
            ha=side,
            va="center",
            fontsize=8.5,
            color=INK,
        )
