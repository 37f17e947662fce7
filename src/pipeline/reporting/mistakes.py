"""The mistakes a model was most sure of, as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.reporting.sentences import percent
from pipeline.reporting.style import INK, QUIET, VERMILION, label, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 5
_LONGEST_NAME = 12


def plot(
    images: np.ndarray,
    labels: np.ndarray,
    *,
    predictions: np.ndarray,
    confidences: np.ndarray,
    class_names: Sequence[str],
) -> Figure:
    """Draw images ``[M, C, H, W]`` uint8 in the given order, each with its label and prediction.

    labels, predictions: ``[M]`` class indices.
    confidences: ``[M]``, 0 … 1, in the predicted class.
    One channel is drawn in grey, three as red, green, blue; of any other number the mean.
    M may be 0.
    """
    count = len(images)
    rows = max(1, -(-count // _COLUMNS))
    figure = new_figure(width=8.6, height=2.2 * rows if count else 1.2)
    if count == 0:
        figure.text(0.5, 0.5, "No mistakes.", ha="center", va="center", fontsize=12, color=INK)
        return figure
    grid = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for i, axes in enumerate(grid[:count]):
        axes.imshow(_picture(images[i]), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        taken, true = (
            label(class_names[index], most=_LONGEST_NAME) for index in (predictions[i], labels[i])
        )
        axes.set_title(
            taken, loc="left", y=1.0, fontsize=10, fontweight="bold", color=VERMILION, pad=18
        )
        axes.set_title(
            _sure(confidences[i]), loc="right", y=1.0, fontsize=8.5, color=VERMILION, pad=18
        )
        axes.text(0, 1.04, f"is {true}", fontsize=9, color=QUIET, transform=axes.transAxes)
    return figure


def _sure(confidence: float) -> str:
    """Rounded, but never to a certainty that is none."""
    return (
        f">\N{NO-BREAK SPACE}{percent(0.999, digits=1)}"
        if 0.9995 <= confidence < 1
        else percent(confidence, digits=1)
    )


def _picture(image: np.ndarray) -> np.ndarray:
    """``[H, W]`` or ``[H, W, 3]`` of one ``[C, H, W]`` image."""
    if image.shape[0] == 3:
        return image.transpose(1, 2, 0)
    return image.mean(axis=0)
