"""The validation curve of one setting: its losses, and where it under- and overfits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.evaluation.validation_curve import ValidationCurve
from pipeline.records import Estimate
from pipeline.reporting.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    QUIET,
    SKY,
    VERMILION,
    dress,
    new_figure,
)

_LABEL_BOX = {
    "boxstyle": "round,pad=0.15",
    "facecolor": "white",
    "edgecolor": "none",
    "alpha": 0.75,
}
_SHADES = {"underfit": SKY, "overfit": ORANGE}


def plot(
    curve: ValidationCurve,
    *,
    name: str,
    measure: str,
    default: float | None,
    log: bool,
    has_default: bool,
) -> Figure:
    """Draw medians with their 95 % intervals over every trial's points.

    name, measure: of the axes.  log: a logarithmic axis for a continuous setting.
    default: the present value, None for null; drawn only where ``has_default``.
    """
    figure = new_figure(width=7.6, height=4.0)
    axes = figure.subplots()
    if log and not curve.discrete:
        axes.set_xscale("log")
    # Training and validation stand side by side where the axis has places instead of values.
    shift = 0.06 if curve.discrete else 0.0
    _points(axes, curve, 1, BLUE, -shift)
    _medians(axes, curve, [b.train for b in curve.bins], BLUE, -shift, label="training")
    _points(axes, curve, 2, VERMILION, shift)
    _medians(axes, curve, [b.val for b in curve.bins], VERMILION, shift, label="validation")
    _limits(axes, curve)
    _shade(axes, curve)
    if has_default:
        _mark_default(axes, curve, default, log=log)
    axes.legend(
        loc="upper right",
        bbox_to_anchor=(1.0, 1.16),
        ncols=2,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
    )
    dress(axes, xlabel=name, ylabel=measure)
    if curve.discrete:
        axes.set_xticks(range(len(curve.bins)), [b.label for b in curve.bins])
    return figure


def _medians(
    axes: Axes,
    curve: ValidationCurve,
    medians: Sequence[Estimate],
    color: str,
    shift: float,
    *,
    label: str,
) -> None:
    centers = [i if curve.discrete else b.center for i, b in enumerate(curve.bins)]
    below = [e.value - e.low for e in medians]
    above = [e.high - e.value for e in medians]
    axes.errorbar(
        [center + shift for center in centers],
        [e.value for e in medians],
        yerr=[below, above],
        color=color,
        marker="o",
        ms=5.5,
        mec="white",
        mew=0.8,
        lw=1.9,
        elinewidth=1.3,
        capsize=2.5,
        label=label,
    )


def _points(axes: Axes, curve: ValidationCurve, column: int, color: str, shift: float) -> None:
    """Draw every trial. column: 1 for training, 2 for validation."""
    x, y = [], []
    for point in curve.points:
        place = curve.place(point[0]) if curve.discrete else point[0]
        if place is not None:
            x.append(place + shift)
            y.append(point[column])
    axes.scatter(x, y, s=9, color=color, alpha=0.28, lw=0)


def _limits(axes: Axes, curve: ValidationCurve) -> None:
    """The losses of a sweep span decades; runs that learned nothing must not flatten the rest."""
    losses = np.array([p[1:] for p in curve.points])
    ends = [e for b in curve.bins for e in (b.train.high, b.val.high)]
    if losses.min() > 0 and losses.max() > 20 * np.median(losses):
        axes.set_yscale("log")
    else:
        top = max(float(np.quantile(losses, 0.95)), *ends)
        axes.set_ylim(min(0.0, float(losses.min())), 1.1 * top)
    if curve.discrete:
        axes.set_xlim(-0.6, len(curve.bins) - 0.4)


def _shade(axes: Axes, curve: ValidationCurve) -> None:
    """Colour the zones, and write their names into them."""
    left, right = axes.get_xlim()
    low, high = _edge(curve, curve.first, left), _edge(curve, curve.last + 1, right)
    inside = "sweet spot" if curve.left or curve.right else "no difference beyond noise"
    for start, end, zone in (
        (left, low, curve.left),
        (low, high, inside),
        (high, right, curve.right),
    ):
        if zone is None or start >= end:
            continue
        axes.axvspan(start, end, color=_SHADES.get(zone, GREEN), alpha=0.13, lw=0)
        middle = math.sqrt(start * end) if axes.get_xscale() == "log" else (start + end) / 2
        axes.annotate(
            zone,
            (middle, 0.985),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="top",
            fontsize=9.5,
            fontweight="bold",
            color=INK,
            zorder=5,
            bbox=_LABEL_BOX,
        )
    axes.set_xlim(left, right)


def _edge(curve: ValidationCurve, index: int, end: float) -> float:
    """Return where bin ``index`` begins on the axis; ``end`` for the first and after the last."""
    if index in (0, len(curve.bins)):
        return end
    if curve.discrete:
        return index - 0.5
    return (curve.bins[index - 1].high + curve.bins[index].low) / 2


def _mark_default(axes: Axes, curve: ValidationCurve, default: float | None, *, log: bool) -> None:
    """Draw a line at the default, or an arrow at the side where it lies outside of the axis."""
    x = curve.place(default) if curve.discrete else default
    if x is None:
        return
    left, right = axes.get_xlim()
    text = "default null" if default is None else f"default {default:.3g}"
    coordinates = ("data", "axes fraction")
    if x < left or (log and not curve.discrete and x <= 0):
        place = (left, 0.02)
        axes.annotate(f"◂ {text}", place, xycoords=coordinates, ha="left", fontsize=9, color=QUIET)
        return
    if x > right:
        place = (right, 0.02)
        axes.annotate(f"{text} ▸", place, xycoords=coordinates, ha="right", fontsize=9, color=QUIET)
        return

    axes.axvline(x, color=INK, lw=1.2, ls=(0, (4, 3)))
    share = axes.transAxes.inverted().transform(axes.transData.transform((x, 0)))[0]
    near_right = share > 0.75
    axes.annotate(
        text,
        (x, 0.02),
        xycoords=coordinates,
        xytext=(-5 if near_right else 5, 0),
        textcoords="offset points",
        ha="right" if near_right else "left",
        fontsize=9,
        color=INK,
    )
