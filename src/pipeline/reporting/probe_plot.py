"""The probes of one run: what each short run makes of the loss, and whether one batch can be learnt."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from pipeline.diagnosis.probes import Outcome, Settled
from pipeline.diagnosis.probes.outcome import FRESH_FACTOR
from pipeline.reporting.probe_text import summary
from pipeline.reporting.style import BLUE, INK, ORANGE, QUIET, VERMILION, dress, legend_above, new_figure

_PARTS = (("train", "training", BLUE, -0.09), ("val", "validation", VERMILION, 0.09))
# A change beyond these is drawn at the edge, with its number.
_LOWEST, _HIGHEST = -1.0, 1.0


def plot(outcome: Outcome, settled: Settled) -> Figure:
    """Draw the change of both losses against the kept weights with 95 % intervals, and the one batch."""
    figure = new_figure(width=8.6, height=4.4)
    grid = figure.add_gridspec(1, 2, width_ratios=[3.2, 1.0])
    _forks(figure.add_subplot(grid[0]), outcome, f"short runs of {outcome.length}")
    _batch(figure.add_subplot(grid[1]), outcome)
    figure.suptitle(summary(settled), x=0.01, ha="left", fontsize=10, color=INK)
    return figure


def _forks(axes: Axes, outcome: Outcome, xlabel: str) -> None:
    rows = [(f"×{factor:g}", fork) for factor, fork in outcome.rates.items()]
    rows.append((f"new weights\n×{FRESH_FACTOR:g}", outcome.fresh))
    if outcome.wider is not None:
        rows.append(("twice\nthe units", outcome.wider))
    for part, name, colour, shift in _PARTS:
        for place, (_, fork) in enumerate(rows):
            fall = outcome.fall(outcome.before, fork, part=part)
            change = min(max(-fall.value, _LOWEST), _HIGHEST)
            inside = change == -fall.value
            axes.errorbar(
                [place + shift],
                [change],
                yerr=[1.96 * fall.error if inside else 0.0],
                color=colour,
                marker="o" if inside else "^",
                ms=6,
                lw=1.8,
                capsize=0,
                label=name if place == 0 else None,
            )
            if not inside and np.isfinite(fall.value):
                axes.annotate(
                    f"{-fall.value:+.0%}",
                    (place + shift, change),
                    xytext=(0, 7 if part == "val" else 18),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                    color=colour,
                )
    axes.axhline(0, color=INK, lw=0.9)
    axes.set_xticks(range(len(rows)), [name for name, _ in rows])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    dress(axes, xlabel=f"factor on the learning rate; {xlabel}", ylabel="change of the loss")
    legend_above(axes, num_columns=2)


def _batch(axes: Axes, outcome: Outcome) -> None:
    batch = outcome.batch
    bars = [("its own\nsteps", batch.own, ORANGE)]
    if batch.adam is not None:
        bars.append(("Adam\n0.001", batch.adam, QUIET))
    for place, (_, losses, colour) in enumerate(bars):
        share = float((losses / batch.entropy).mean())
        height = min(share, 1.4)
        axes.bar([place], [height], color=colour, width=0.6)
        label = f"{share:.2f}" if math.isfinite(share) else "diverged"
        axes.annotate(
            label,
            (place, height),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            color=INK,
        )
    axes.axhline(1, color=QUIET, lw=0.9, ls=(0, (2, 3)))
    axes.annotate(
        "images ignored",
        (1.0, 1.0),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 3),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color=QUIET,
    )
    axes.set_ylim(0, 1.55)
    axes.set_xlim(-0.6, len(bars) - 0.4)
    axes.set_xticks(range(len(bars)), [name for name, _, _ in bars])
    dress(axes, title="One batch by heart", ylabel="loss, 1 is guessing")
