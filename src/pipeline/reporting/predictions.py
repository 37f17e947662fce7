"""Pictures as they came, beside what the network saw of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pipeline.reporting.style import INK, VERMILION, new_figure

_PAIRS = 4


def plot(
    originals: Sequence[np.ndarray], views: np.ndarray, titles: Sequence[str], strange: Sequence[bool]
) -> Figure:
    """Draw each grey original ``[H, W]`` beside its view ``[C, H, W]`` uint8, with a title; strange ones in red."""
    rows = -(-len(originals) // _PAIRS)
    figure = new_figure(width=8.6, height=1.5 * rows)
    grid = figure.subplots(rows, 2 * _PAIRS, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for i, (original, seen) in enumerate(zip(originals, views, strict=True)):
        left, right = grid[2 * i], grid[2 * i + 1]
        left.imshow(original, cmap="gray", vmin=0, vmax=255)
        shown = seen.transpose(1, 2, 0) if len(seen) == 3 else seen.mean(0)
        right.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        colour = VERMILION if strange[i] else INK
        left.set_title(titles[i], loc="left", fontsize=9.5, fontweight="bold", color=colour)
    return figure
