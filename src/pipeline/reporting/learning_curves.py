"""Loss and accuracy by epoch, training against validation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.errors import DataError
from pipeline.records import EpochRecord, best_epoch
from pipeline.reporting.style import (
    BLUE,
    INK,
    PURPLE,
    VERMILION,
    dress,
    name_line_ends,
    new_figure,
    percent_scale,
    whole_numbers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEARNING_RATE = "learning_rate"
_PARTS = (("train", BLUE, "o"), ("val", VERMILION, "s"))
_WORDS = {"train": "training", "val": "validation"}


def plot(rows: Sequence[EpochRecord]) -> Figure:
    """Draw ``train/loss``, ``val/loss``, ``train/accuracy``, ``val/accuracy`` over 1-based epochs.

    The epoch of the lowest ``val/loss`` is marked. ``learning_rate`` has a small panel where it was
    measured. Metrics that are missing or not finite leave a gap.

    Raises:
        DataError: when there is no epoch.
    """
    if not rows:
        raise DataError(
            "The history has 0 epochs, but a learning curve needs 1. Train for at least one epoch."
        )
    panels = [
        name
        for name in ("loss", "accuracy")
        if any(f"{p}/{name}" in r.metrics for r in rows for p in _WORDS)
    ]
    with_rate = any(_LEARNING_RATE in row.metrics for row in rows)
    figure = new_figure(width=8.6, height=4.4 if with_rate else 3.5)
    grid = figure.add_gridspec(
        1 + with_rate, max(len(panels), 1), height_ratios=[4, 1][: 1 + with_rate]
    )
    best = best_epoch(rows)
    for column, name in enumerate(panels):
        _panel(figure.add_subplot(grid[0, column]), rows, name, best)
    if with_rate:
        _rate_panel(figure.add_subplot(grid[1, :]), rows)
    return figure


def _panel(axes: Axes, rows: Sequence[EpochRecord], name: str, best: EpochRecord | None) -> None:
    ends = []
    for part, color, marker in _PARTS:
        points = list(zip(_epochs(rows), _series(rows, f"{part}/{name}"), strict=True))
        measured = [(e, v) for e, v in points if math.isfinite(v)]
        if measured:
            size = 3.5 if len(rows) < 40 else 0
            axes.plot(
                *zip(*points, strict=True), color=color, marker=marker, markersize=size, lw=1.8
            )
            ends.append((*measured[-1], _WORDS[part], color))
    dress(axes, title="Loss (nats)" if name == "loss" else "Accuracy", xlabel="epoch")
    whole_numbers(axes.xaxis, most=8)
    axes.margins(x=0.03, y=0.08)
    if name == "accuracy":
        percent_scale(axes.yaxis)
    if best is not None:
        _mark(axes, best, name)
    name_line_ends(axes, ends)


def _mark(axes: Axes, best: EpochRecord, name: str) -> None:
    axes.axvline(best.epoch + 1, color=INK, lw=0.9, ls=(0, (2, 3)), zorder=0.5)
    value = best.metrics.get(f"val/{name}")
    if value is None:
        return
    axes.plot([best.epoch + 1], [value], marker="o", ms=10, mfc="none", mec=INK, mew=1.2, zorder=4)
    if name == "loss":
        note = f"best epoch {best.epoch + 1}: {value:.4g}"
        axes.set_title(note, loc="right", fontsize=8.5, color=INK, pad=8)


def _rate_panel(axes: Axes, rows: Sequence[EpochRecord]) -> None:
    rates = _series(rows, _LEARNING_RATE)
    axes.step(_epochs(rows), rates, where="mid", color=PURPLE, lw=1.8, marker="o", markersize=3)
    dress(axes, title="Learning rate")
    whole_numbers(axes.xaxis, most=12)
    axes.margins(x=0.02)
    highest = max((rate for rate in rates if math.isfinite(rate)), default=0.0)
    if highest > 0:
        axes.set(
            ylim=(-0.1 * highest, 1.2 * highest),
            yticks=[0, highest],
            yticklabels=["0", f"{highest:.3g}"],
        )


def _epochs(rows: Sequence[EpochRecord]) -> list[int]:
    return [row.epoch + 1 for row in rows]


def _series(rows: Sequence[EpochRecord], name: str) -> list[float]:
    values = (row.metrics.get(name, math.nan) for row in rows)
    return [value if math.isfinite(value) else math.nan for value in values]
