"""A picture of one run's probes: the loss after each short run, and the loss of one batch."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from pipeline.diagnosis.measured import NORMAL_95, Measured
from pipeline.diagnosis.probes import Batch, Outcome
from pipeline.diagnosis.probes.outcome import FRESH_FACTOR
from pipeline.diagnosis.record import Part, ProbedVerdict
from pipeline.reporting.probe_text import summary
from pipeline.reporting.style import (
    BLUE,
    INK,
    ORANGE,
    QUIET,
    VERMILION,
    dress,
    legend_above,
    new_figure,
)

_PARTS: tuple[tuple[Part, str, str, float], ...] = (
    ("train", "training", BLUE, -0.09),
    ("val", "validation", VERMILION, 0.09),
)
# A change beyond these is drawn at the edge, with its number.
_LOWEST, _HIGHEST = -1.0, 1.0
_HIGHEST_BAR = 1.4


def plot(outcome: Outcome, probed: ProbedVerdict) -> Figure:
    """Draw the change of both losses in each short run, and the loss of one batch.

    Changes are shares of the kept weights' loss, with 95 % intervals.
    """
    figure = new_figure(width=8.6, height=4.4)
    grid = figure.add_gridspec(1, 2, width_ratios=[3.2, 1.0])
    _draw_forks(figure.add_subplot(grid[0]), outcome)
    _draw_batch(figure.add_subplot(grid[1]), outcome.batch)
    figure.suptitle(summary(probed), x=0.01, ha="left", fontsize=10, color=INK)
    return figure


def _draw_forks(axes: Axes, outcome: Outcome) -> None:
    forks = {f"×{factor:g}": fork for factor, fork in outcome.rates.items()}
    forks[f"new weights\n×{FRESH_FACTOR:g}"] = outcome.fresh
    if outcome.wider is not None:
        forks["twice\nthe units"] = outcome.wider
    for part, name, color, shift in _PARTS:
        for place, fork in enumerate(forks.values()):
            fall = outcome.fall(outcome.before, fork, part=part)
            label = name if place == 0 else None
            _draw_change(axes, place + shift, fall, color=color, label=label, part=part)
    axes.axhline(0, color=INK, lw=0.9)
    axes.set_xticks(range(len(forks)), list(forks))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    xlabel = f"factor on the learning rate; short runs of {outcome.length}"
    dress(axes, xlabel=xlabel, ylabel="change of the loss")
    legend_above(axes, num_columns=2)


def _draw_change(
    axes: Axes, x: float, fall: Measured, *, color: str, label: str | None, part: Part
) -> None:
    """Draw one change with its interval; beyond the edge as a triangle with its number."""
    change = min(max(-fall.value, _LOWEST), _HIGHEST)
    inside = change == -fall.value
    axes.errorbar(
        [x],
        [change],
        yerr=[NORMAL_95 * fall.error if inside else 0.0],
        color=color,
        marker="o" if inside else "^",
        ms=6,
        lw=1.8,
        capsize=0,
        label=label,
    )
    if not inside and math.isfinite(fall.value):
        height = 7 if part == "val" else 18
        _annotate(axes, f"{-fall.value:+.0%}", (x, change), height=height, size=8, color=color)


def _draw_batch(axes: Axes, batch: Batch) -> None:
    bars = [("its own\nsteps", batch.own, ORANGE)]
    if batch.adam is not None:
        bars.append(("Adam\n0.001", batch.adam, QUIET))
    for place, (_, losses, color) in enumerate(bars):
        share = float((losses / batch.entropy).mean())
        height = min(share, _HIGHEST_BAR)
        axes.bar([place], [height], color=color, width=0.6)
        label = f"{share:.2f}" if math.isfinite(share) else "diverged"
        _annotate(axes, label, (place, height), height=3, size=9, color=INK)
    axes.axhline(1, color=QUIET, lw=0.9, ls=(0, (2, 3)))
    axes.annotate(
        "images ignored", (1.0, 1.0), xycoords=("axes fraction", "data"), xytext=(-2, 3),
        textcoords="offset points", ha="right", fontsize=8, color=QUIET,
    )  # fmt: skip
    axes.set_ylim(0, 1.55)
    axes.set_xlim(-0.6, len(bars) - 0.4)
    axes.set_xticks(range(len(bars)), [name for name, _, _ in bars])
    dress(axes, title="One batch by heart", ylabel="loss, 1 is guessing")


def _annotate(
    axes: Axes, text: str, at: tuple[float, float], *, height: float, size: float, color: str
) -> None:
    """Write a text above a point."""
    axes.annotate(
        text, at, xytext=(0, height), textcoords="offset points", ha="center", fontsize=size,
        color=color,
    )  # fmt: skip
