"""Loss and accuracy by epoch, training against validation."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pipeline.errors import DataError
from pipeline.records import EpochRecord
from pipeline.reporting.style import BLUE, INK, PURPLE, QUIET, VERMILION, dress, new_figure

_LEARNING_RATE = "learning_rate"
_PARTS = (("train", BLUE, "o"), ("val", VERMILION, "s"))
_WORDS = {"train": "training", "val": "validation"}


def plot(rows: Sequence[EpochRecord]) -> Figure:
    """Draw ``train/loss``, ``val/loss``, ``train/accuracy``, ``val/accuracy`` over 1-based epochs.

    The epoch of the lowest ``val/loss`` is marked. ``learning_rate`` gets a small panel of its own where
    it was measured. Metrics that are missing or not finite leave a gap.

    Raises:
        DataError: when there is no epoch.
    """
    if not rows:
        raise DataError(
            "The history has 0 epochs, but a learning curve needs 1. Train for at least one epoch."
        )
    panels = [
        name for name in ("loss", "accuracy") if any(f"{p}/{name}" in r.metrics for r in rows for p in _WORDS)
    ]
    with_rate = any(_LEARNING_RATE in row.metrics for row in rows)
    figure = new_figure(width=8.6, height=4.4 if with_rate else 3.5)
    grid = figure.add_gridspec(1 + with_rate, max(len(panels), 1), height_ratios=[4, 1][: 1 + with_rate])
    best = best_epoch(rows)
    for column, name in enumerate(panels):
        _panel(figure.add_subplot(grid[0, column]), rows, name, best)
    if with_rate:
        _rate_panel(figure.add_subplot(grid[1, :]), rows)
    return figure


def best_epoch(rows: Sequence[EpochRecord]) -> EpochRecord | None:
    """The first epoch with the lowest finite ``val/loss``; None when there is none."""
    measured = [row for row in rows if math.isfinite(row.metrics.get("val/loss", math.nan))]
    return min(measured, key=lambda row: row.metrics["val/loss"], default=None)


def _panel(axes: Axes, rows: Sequence[EpochRecord], name: str, best: EpochRecord | None) -> None:
    for part, color, marker in _PARTS:
        values = _series(rows, f"{part}/{name}")
        if not any(map(math.isfinite, values)):
            continue
        axes.plot(
            _epochs(rows), values, color=color, marker=marker, markersize=3.5 if len(rows) < 40 else 0, lw=1.8
        )
        last = next(i for i in reversed(range(len(values))) if math.isfinite(values[i]))
        axes.annotate(
            _WORDS[part],
            (_epochs(rows)[last], values[last]),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            fontweight="bold",
            color=color,
        )
    title = "Loss (nats)" if name == "loss" else "Accuracy"
    dress(axes, title=title, xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axes.margins(x=0.03, y=0.08)
    if name == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol="\N{NO-BREAK SPACE}%"))
    if best is not None:
        _mark(axes, best, name)


def _mark(axes: Axes, best: EpochRecord, name: str) -> None:
    axes.axvline(best.epoch + 1, color=INK, lw=0.9, ls=(0, (2, 3)), zorder=0.5)
    value = best.metrics.get(f"val/{name}")
    if value is None:
        return
    axes.plot([best.epoch + 1], [value], marker="o", ms=10, mfc="none", mec=INK, mew=1.2, zorder=4)
    if name == "loss":
        axes.annotate(
            f"best epoch {best.epoch + 1}: {value:.4g}",
            (best.epoch + 1, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(5, -3),
            textcoords="offset points",
            va="top",
            fontsize=8.5,
            color=INK,
        )


def _rate_panel(axes: Axes, rows: Sequence[EpochRecord]) -> None:
    rates = _series(rows, _LEARNING_RATE)
    axes.step(_epochs(rows), rates, where="mid", color=PURPLE, lw=1.8)
    dress(axes, title="Learning rate")
    axes.title.set_fontsize(9.5)
    axes.title.set_color(QUIET)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=2))
    axes.margins(x=0.02, y=0.2)


def _epochs(rows: Sequence[EpochRecord]) -> list[int]:
    return [row.epoch + 1 for row in rows]


def _series(rows: Sequence[EpochRecord], name: str) -> list[float]:
    values = (row.metrics.get(name, math.nan) for row in rows)
    return [value if math.isfinite(value) else math.nan for value in values]
