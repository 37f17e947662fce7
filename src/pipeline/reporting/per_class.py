"""Precision, recall and F1 of each class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.evaluation.results import Evaluation
from pipeline.reporting.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    dress,
    label,
    legend_above,
    new_figure,
    percent_scale,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_CLASSES = 40  # a picture of 1,200 would be larger than matplotlib can draw
_SCORES = (("precision", BLUE, "<", -0.22), ("f1", INK, "o", 0.0), ("recall", ORANGE, ">", 0.22))


def plot(evaluation: Evaluation) -> Figure:
    """Draw a row for each class, the weakest F1 on top, with 95 % Wilson intervals.

    Of more than 40 classes, the 40 weakest are drawn.

    The scale begins where the lowest interval does, so that classes near 100 % stay distinct.
    """
    classes = sorted(evaluation.per_class, key=lambda each: each.f1.value, reverse=True)
    classes = classes[-_MOST_CLASSES:]
    figure = new_figure(width=8.6, height=1.3 + 0.42 * len(classes))
    axes = figure.add_subplot()
    for name, color, marker, offset in _SCORES:
        estimates = [getattr(each, name) for each in classes]
        heights = [i - offset for i in range(len(classes))]
        axes.hlines(
            heights,
            [e.low for e in estimates],
            [e.high for e in estimates],
            color=color,
            lw=1.6,
            alpha=0.55,
        )
        values = [e.value for e in estimates]
        shown = "F1" if name == "f1" else name
        axes.plot(values, heights, marker, color=color, ms=6, mec="white", mew=0.7, label=shown)
    axes.axvline(
        evaluation.f1_macro.value, color=GREEN, lw=1.1, ls=(0, (4, 3)), label="macro F1", zorder=0.5
    )
    left_out = len(evaluation.per_class) > len(classes)
    note = f"the {len(classes)} weakest of {len(evaluation.per_class)} classes" if left_out else ""
    dress(axes, xlabel=note, grid="x")
    axes.set_yticks(
        range(len(classes)), [f"{label(each.name)}  (n = {each.support:,})" for each in classes]
    )
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(-0.6, len(classes) - 0.4)
    for row in range(0, len(classes), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#f6f7f9", zorder=0)
    percent_scale(axes.xaxis)
    legend_above(axes, num_columns=4)
    return figure
