"""Curves of a training with their interval bands, and the epochs that decided its diagnosis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.diagnosis.history import History
from pipeline.records import SignalRecord
from pipeline.reporting.style import (
    BLUE,
    INK,
    NARROW,
    ORANGE,
    PURPLE,
    QUIET,
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

Spans = Sequence[tuple[int, int]]
_PARTS = (("train", "training", BLUE), ("val", "validation", VERMILION))


def plot(history: History, *, decided: Spans, width: float) -> Figure:
    """Draw loss and accuracy with 95 % bands, and the learning rate where it changes.

    decided: first and last epoch (1-based) of the numbers that decided; shaded.
    width: inches; a narrow figure has its panels below one another.
    A band is that of the sample's images; without signals there is none.
    """
    kinds = (("loss", draw_losses), ("cross_entropy", draw_losses), ("accuracy", _accuracies))
    panels = list(dict.fromkeys(draw for kind, draw in kinds if _has(history, kind)))
    changes = _rate_changes(history)
    stacked = width < NARROW
    rows, columns = (len(panels), 1) if stacked else (1, len(panels))
    heights = [3.2] * rows + [1.0] * changes
    figure = new_figure(width=width, height=sum(heights) + 0.2)
    grid = figure.add_gridspec(rows + changes, columns, height_ratios=heights)
    for place, draw in enumerate(panels):
        cell = grid[place, 0] if stacked else grid[0, place]
        draw(figure.add_subplot(cell), history, decided)
    if changes:
        _rates(figure.add_subplot(grid[rows, :]), history)
    return figure


def _rate_changes(history: History) -> bool:
    rate = history.curves.get("learning_rate")
    if rate is None:
        return False
    return bool(np.nanmax(rate, initial=0) > 1.001 * np.nanmin(rate, initial=np.inf))


def draw_losses(axes: Axes, history: History, decided: Spans) -> None:
    """Draw the losses of both parts, and that of guessing where it is near.

    The scale is logarithmic where the losses span more than a factor of 20.
    """
    ends = _lines(axes, history, ("cross_entropy", "loss"), "loss_per_example")
    _shade(axes, decided)
    values = np.concatenate(
        [c for n, c in history.curves.items() if n.endswith(("loss", "cross_entropy"))]
    )
    positive = values[np.isfinite(values) & (values > 0)]
    if len(positive) and positive.max() > 20 * positive.min():
        axes.set_yscale("log")
    prior = history.prior_entropy
    if prior is not None and len(positive) and positive.max() > 0.5 * prior:
        axes.axhline(prior, color=QUIET, lw=0.9, ls=(0, (2, 3)))
        axes.annotate(
            "guessing", (1.0, prior), xycoords=("axes fraction", "data"), xytext=(-2, 3),
            textcoords="offset points", ha="right", fontsize=8, color=QUIET,
        )  # fmt: skip
    dress(axes, title="Loss (nats)", xlabel="epoch")
    _finish(axes, ends)


def _accuracies(axes: Axes, history: History, decided: Spans) -> None:
    ends = _lines(axes, history, ("accuracy",), "correct")
    _shade(axes, decided)
    dress(axes, title="Accuracy", xlabel="epoch")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0.0), min(high, 1.005))
    percent_scale(axes.yaxis)
    _finish(axes, ends)


def _rates(axes: Axes, history: History) -> None:
    rates = history.curves["learning_rate"]
    axes.step(history.epochs + 1, rates, where="mid", color=PURPLE, lw=1.8)
    highest = float(np.nanmax(rates))
    dress(axes, title="Learning rate")
    axes.set(
        ylim=(-0.1 * highest, 1.2 * highest),
        yticks=[0, highest],
        yticklabels=["0", f"{highest:.3g}"],
    )
    whole_numbers(axes.xaxis, most=10)


def _has(history: History, name: str) -> bool:
    return any(f"{part}/{name}" in history.curves for part, _, _ in _PARTS)


def _lines(
    axes: Axes, history: History, names: Sequence[str], measured: str
) -> list[tuple[float, float, str, str]]:
    """Draw the first of ``names`` that each part has; return the ends of the lines."""
    epochs, ends = history.epochs + 1, []
    for part, word, colour in _PARTS:
        known = [history.curves[f"{part}/{n}"] for n in names if f"{part}/{n}" in history.curves]
        if not known:
            continue
        curve = known[0]
        finite = np.isfinite(curve)
        size = 3.5 if len(epochs) < 40 else 0
        axes.plot(epochs[finite], curve[finite], color=colour, lw=1.8, marker="o", markersize=size)
        if finite.any():
            ends.append((float(epochs[finite][-1]), float(curve[finite][-1]), word, colour))
        _band(axes, history.signals, f"{part}/{measured}", colour)
    return ends


def _band(axes: Axes, signals: SignalRecord | None, name: str, colour: str) -> None:
    """Mean ± 1.96 standard errors over the sample's images."""
    if signals is None or name not in signals.arrays:
        return
    values = signals.arrays[name].astype(np.float64)
    rows = (signals.arrays["epochs"] >= 0) & np.isfinite(values).all(1)
    if values.shape[1] < 2 or not rows.any():
        return
    mean, reach = values[rows].mean(1), 1.96 * values[rows].std(1) / np.sqrt(values.shape[1])
    epochs = signals.arrays["epochs"][rows] + 1
    axes.fill_between(epochs, mean - reach, mean + reach, color=colour, alpha=0.18, lw=0)


def _shade(axes: Axes, decided: Spans) -> None:
    for first, last in sorted(set(decided)):
        axes.axvspan(first - 0.5, last + 0.5, color=ORANGE, alpha=0.10, lw=0)


def _finish(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    whole_numbers(axes.xaxis, most=8)
    if axes.get_yscale() == "linear":
        name_line_ends(axes, ends)
        return
    for x, y, word, colour in ends:
        axes.annotate(
            word, (x, y), xytext=(8, 0), textcoords="offset points", va="center", fontsize=9,
            fontweight="bold", color=colour, annotation_clip=False,
        )  # fmt: skip


def note_decided(axes: Axes) -> None:
    """Explain the shade beside the title."""
    axes.set_title("shaded: the epochs that decided", loc="right", fontsize=8.5, color=INK, pad=8)
