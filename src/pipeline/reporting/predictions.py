"""The original pictures, beside the images that the network saw."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.data.decode import decode_colour, decode_grey
from pipeline.reporting.style import INK, VERMILION, label, new_figure
from pipeline.runs.prediction import PredictedPictures

MOST_PICTURED = 40
_LONGEST = 18  # characters of a class's name
_SIDE = 200  # pixels of an original, or up to twice as many; its place has 150
_PAIRS = 4  # of a picture and its view, in one row


def plot(predicted: PredictedPictures) -> Figure:
    """Draw each original beside its view, under the prediction; unfamiliar and blank ones in red.

    Draws the first 40 pictures; an original has colours where the view has them.
    """
    shown = predicted.predictions[:MOST_PICTURED]
    rows = -(-len(shown) // _PAIRS)
    figure = new_figure(width=8.6, height=1.5 * rows)
    grid = figure.subplots(rows, 2 * _PAIRS, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for i, prediction in enumerate(shown):
        left, right = grid[2 * i], grid[2 * i + 1]
        decode = decode_colour if len(predicted.views[i]) == 3 else decode_grey
        left.imshow(decode(prediction.path, longest=_SIDE), cmap="gray", vmin=0, vmax=255)
        _draw_view(right, predicted.views[i])
        name, probability = prediction.top[0]
        colour = VERMILION if prediction.unfamiliar or prediction.blank else INK
        left.set_title(
            f"{label(name, most=_LONGEST)}  {probability:.0%}",
            loc="left",
            fontsize=9.5,
            fontweight="bold",
            color=colour,
        )
    return figure


def _draw_view(axes: Axes, view: np.ndarray) -> None:
    """Draw a view ``[C, H, W]`` uint8; three channels are drawn in colour."""
    image = view.transpose(1, 2, 0) if len(view) == 3 else view.mean(0)
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
