"""The validation curve of one setting: training and validation loss, where it under- and overfits."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.evaluation.validation_curve import ValidationCurve
from pipeline.reporting.style import BLUE, GREEN, INK, ORANGE, QUIET, SKY, VERMILION, dress, new_figure

_SHADES = {"underfit": SKY, "overfit": ORANGE}


def plot(
    curve: ValidationCurve, *, name: str, measure: str, default: float | None, log: bool, has_default: bool
) -> Figure:
    """Draw medians with their 95 % intervals over every trial's points.

    name, measure: of the axes.  default: the present value, None for null; drawn where ``has_default``.
    """
    figure = new_figure(width=7.6, height=4.0)
    axes = figure.subplots()
    centers = _centers(curve)
    if log and not curve.discrete:
        axes.set_xscale("log")
    for column, color, word, shift in ((1, BLUE, "training", -0.06), (2, VERMILION, "validation", 0.06)):
        offset = shift if curve.discrete else 0.0
        _points(axes, curve, column, color, offset)
        found = [b.train if column == 1 else b.val for b in curve.bins]
        x = [c + offset for c in centers]
        spread = [[e.value - e.low for e in found], [e.high - e.value for e in found]]
        axes.errorbar(
            x, [e.value for e in found], yerr=spread, color=color, marker="o", ms=5.5, mec="white", mew=0.8,
            lw=1.9, elinewidth=1.3, capsize=2.5, label=word,
        )  # fmt: skip
    _limits(axes, curve)
    _shade(axes, curve)
    if has_default:
        _mark_default(axes, curve, default, log=log)
    axes.legend(
        loc="upper right", bbox_to_anchor=(1.0, 1.16), ncols=2, frameon=False, fontsize=9, labelcolor=INK
    )
    dress(axes, xlabel=name, ylabel=measure)
    if curve.discrete:
        axes.set_xticks(range(len(curve.bins)), [b.label for b in curve.bins])
    return figure


def _centers(curve: ValidationCurve) -> list[float]:
    return [float(i) for i in range(len(curve.bins))] if curve.discrete else [b.center for b in curve.bins]


def _points(axes: Axes, curve: ValidationCurve, column: int, color: str, offset: float) -> None:
    places = [curve.place(p[0]) for p in curve.points] if curve.discrete else [p[0] for p in curve.points]
    known = [(x + offset, p[column]) for x, p in zip(places, curve.points, strict=True) if x is not None]
    axes.scatter([x for x, _ in known], [y for _, y in known], s=9, color=color, alpha=0.28, lw=0)


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
    left, right = axes.get_xlim()
    low, high = _edge(curve, curve.first, left), _edge(curve, curve.last + 1, right)
    middle_word = "sweet spot" if curve.left or curve.right else "no difference beyond noise"
    zones = ((left, low, curve.left), (low, high, middle_word), (high, right, curve.right))
    for start, end, word in zones:
        if word is None or start >= end:
            continue
        axes.axvspan(start, end, color=_SHADES.get(word, GREEN), alpha=0.13, lw=0)
        middle = math.sqrt(start * end) if axes.get_xscale() == "log" else (start + end) / 2
        axes.annotate(
            word, (middle, 0.985), xycoords=("data", "axes fraction"), ha="center", va="top",
            fontsize=9.5, fontweight="bold", color=INK, zorder=5,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
        )  # fmt: skip
    axes.set_xlim(left, right)


def _edge(curve: ValidationCurve, index: int, end: float) -> float:
    """Where the bin ``index`` begins on the axis; the axis' end for the first, and after the last."""
    if index in (0, len(curve.bins)):
        return end
    if curve.discrete:
        return index - 0.5
    return (curve.bins[index - 1].high + curve.bins[index].low) / 2


def _mark_default(axes: Axes, curve: ValidationCurve, default: float | None, *, log: bool) -> None:
    left, right = axes.get_xlim()
    x = curve.place(default) if curve.discrete else default
    if x is None:
        return
    text = "default null" if default is None else f"default {default:.3g}"
    outside = x < left or x > right or (log and not curve.discrete and x <= 0)
    if outside:
        arrow, at, align = ("◂ ", left, "left") if x < left or x <= 0 else (" ▸", right, "right")
        text = arrow + text if align == "left" else text + arrow
        axes.annotate(text, (at, 0.02), xycoords=("data", "axes fraction"), ha=align, fontsize=9, color=QUIET)
        return
    axes.axvline(x, color=INK, lw=1.2, ls=(0, (4, 3)))
    near_right = axes.transAxes.inverted().transform(axes.transData.transform((x, 0)))[0] > 0.75
    axes.annotate(
        text, (x, 0.02), xycoords=("data", "axes fraction"), xytext=(-5 if near_right else 5, 0),
        textcoords="offset points", ha="right" if near_right else "left", fontsize=9, color=INK,
    )  # fmt: skip
