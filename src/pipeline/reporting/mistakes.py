"""The mistakes a model was most sure of, as pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pipeline.reporting.style import INK, QUIET, VERMILION, new_figure, percent

_COLUMNS = 5


def plot(
    images: np.ndarray,
    labels: np.ndarray,
    *,
    predictions: np.ndarray,
    confidences: np.ndarray,
    class_names: Sequence[str],
) -> Figure:
    """Draw ``images [M, C, H, W]`` uint8 in the given order, each with its truth and what it was taken for.

    labels, predictions: ``[M]`` class indices.  confidences: ``[M]``, 0 … 1, in the predicted class.
    One channel is drawn in grey, three as red, green, blue; of any other number the mean. M may be 0.
    """
    count = len(images)
    rows = max(1, -(-count // _COLUMNS))
    figure = new_figure(width=8.6, height=2.05 * rows if count else 1.2)
    if count == 0:
        figure.text(0.5, 0.5, "Not a single mistake.", ha="center", va="center", fontsize=12, color=INK)
        return figure
    grid = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for i in range(count):
        axes = grid[i]
        axes.imshow(_picture(images[i]), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        taken = class_names[predictions[i]]
        axes.text(0, 1.17, taken, fontsize=10, fontweight="bold", color=VERMILION, transform=axes.transAxes)
        axes.text(
            1,
            1.17,
            percent(confidences[i]),
            fontsize=8.5,
            color=VERMILION,
            ha="right",
            transform=axes.transAxes,
        )
        axes.text(0, 1.04, f"is {class_names[labels[i]]}", fontsize=9, color=QUIET, transform=axes.transAxes)
    return figure


def _picture(image: np.ndarray) -> np.ndarray:
    """``[H, W]`` or ``[H, W, 3]`` of one ``[C, H, W]`` image."""
    if image.shape[0] == 3:
        return image.transpose(1, 2, 0)
    return image.mean(axis=0)
