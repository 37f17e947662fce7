"""The confusion matrix as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.reporting.style import BLUE, INK, PAPER, QUIET, VERMILION, dress, label, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_COUNTED = 40  # classes; the numbers of more would cover each other
_LONGEST = 16  # characters of a class's name
_FULL_AT = 0.10  # this share of a class predicted as another one has the full colour


def plot(matrix: np.ndarray, *, class_names: Sequence[str], width: float | None = None) -> Figure:
    """Draw counts ``[K, K]`` (row = truth, column = prediction), with numbers up to 40 classes.

    The colour is the share of the row: blue on the diagonal, orange beside it. Orange is full at
    10 %, so that rare mistakes stand out. The number is the count; 0 stays blank. Of more classes
    only some have their names.
    width: inches; None for as many as the classes need.
    """
    from matplotlib.colors import LinearSegmentedColormap

    right = LinearSegmentedColormap.from_list("right", [PAPER, BLUE])
    wrong = LinearSegmentedColormap.from_list("wrong", [PAPER, VERMILION])
    k = len(class_names)
    side = max(4.2, 1.6 + 0.5 * k) if k <= 12 else 1.8 + 0.38 * min(k, MOST_COUNTED)
    side = side if width is None else width - 0.3
    figure = new_figure(width=side + 0.3, height=side)
    axes = figure.add_subplot()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    diagonal = np.eye(k, dtype=bool)[..., None]
    strength = np.where(
        diagonal[..., 0], 0.9 * shares, 0.1 * (shares > 0) + 0.8 * np.minimum(shares / _FULL_AT, 1)
    )
    axes.imshow(np.where(diagonal, right(strength), wrong(strength)), aspect="equal")
    size = 9.0 if k <= 12 else 7.0
    size = min(size, 20.0 * side / k) if width else size
    for row, column in np.argwhere(matrix).tolist() if k <= MOST_COUNTED else []:
        dark = strength[row, column] > 0.6
        axes.text(
            column,
            row,
            f"{matrix[row, column]}",
            ha="center",
            va="center",
            fontsize=size,
            color=PAPER if dark else INK,
        )
    _label(figure, class_names, size)
    return figure


def _label(figure: Figure, class_names: Sequence[str], size: float) -> None:
    (axes,) = figure.axes
    k, step = len(class_names), -(-len(class_names) // MOST_COUNTED)
    names = [label(name, most=_LONGEST) for name in class_names[::step]]
    dress(axes, xlabel="predicted", ylabel="true", grid="none")
    axes.spines["bottom"].set_visible(False)
    long = max(map(len, class_names)) > (2 if k > 12 else 4)
    axes.set_xticks(
        range(0, k, step), names, rotation=40 if long else 0, ha="right" if long else "center"
    )
    axes.set_yticks(range(0, k, step), names)
    axes.tick_params(labelsize=max(size, 8), labelcolor=INK)
    lines = np.arange(k - 1 if step == 1 else 0) + 0.5
    axes.set_xticks(lines, minor=True)
    axes.set_yticks(lines, minor=True)
    axes.tick_params(which="minor", length=0)
    axes.grid(visible=True, which="minor", color="#eef0f3", linewidth=0.8)
    for title in (axes.xaxis.label, axes.yaxis.label):
        title.set_color(QUIET)
        title.set_fontweight("bold")
