"""The objective over the two settings that mattered most: a slice for each, and both together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation

from pipeline.reporting.style import BLUE, INK, QUIET, VERMILION, dress, label, new_figure

LEAST_POINTS = 6  # of a picture; a surface over fewer is drawn by imagination
LEVELS = 12
_LARGEST = 1e100  # of an objective that is drawn; some return 1.8e308 for "failed"
_LONGEST_KEY = 40  # characters of a setting's name
_SHADES = LinearSegmentedColormap.from_list("loss", ["#0b4f8a", "#8fb8de", "#f3f6fa"])


class Scale:
    """Where the values of one setting stand on an axis: numbers as they are, names in a row.

    values: of the trials.  log: whether the search was logarithmic.
    """

    def __init__(self, values: Sequence[Any], *, log: bool) -> None:
        numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        of_word = {_word(v): v for v in values}
        self.names = [] if numeric else sorted(of_word, key=lambda word: _order(of_word[word]))
        self.log = log and numeric and min(values) > 0

    def places(self, values: Sequence[Any]) -> np.ndarray:
        """Return the places ``[n]`` of values, as logarithms on a logarithmic axis."""
        if self.names:
            return np.array([float(self.names.index(_word(v))) for v in values])
        numbers = np.array(values, dtype=float)
        return np.log10(numbers) if self.log else numbers

    def label(self, axis: Any) -> None:
        """Write the values at the ticks of an axis."""
        if self.names:
            axis.set_ticks(range(len(self.names)), [label(name, most=14) for name in self.names])
        elif self.log:
            axis.set_major_formatter(lambda place, _: f"{10**place:.3g}")


def _order(value: Any) -> tuple[bool, float, str]:
    """Numbers by their size, then names; ``null`` is a name."""
    is_name = isinstance(value, bool) or not isinstance(value, int | float)
    return is_name, 0.0 if is_name else float(value), _word(value)


def _word(value: Any) -> str:
    return "null" if value is None else str(value)


def slices(
    columns: Sequence[tuple[str, Sequence[Any], bool]],
    losses: Sequence[Sequence[float]],
    *,
    of: str,
) -> Figure:
    """Draw the objective of each trial against each setting.

    columns: name, values of the trials, logarithmic.  losses: the objective for each column, in the
    order of its values.  of: name of the objective.
    """
    figure = new_figure(width=4.4 * len(columns), height=3.4)
    panels = figure.subplots(1, len(columns), squeeze=False)[0]
    drawn = [_drawable(column) for column in losses]
    for axes, (name, values, log), column in zip(panels, columns, drawn, strict=True):
        scale = Scale(values, log=log)
        axes.scatter(scale.places(values), column, s=18, color=BLUE, alpha=0.5, lw=0)
        _scale_losses(axes, column)
        scale.label(axes.xaxis)
        dress(axes, xlabel=label(name, most=_LONGEST_KEY), ylabel=label(of), grid="both")
    return figure


def contour(
    x: tuple[str, Sequence[Any], bool],
    y: tuple[str, Sequence[Any], bool],
    losses: Sequence[float],
    *,
    of: str,
    maximize: bool = False,
    best: int | None = None,
) -> Figure | None:
    """Draw the objective over two settings; None where the trials span no plane.

    x, y: name, values of the trials, logarithmic.  The darker, the better; the best trial is a
    cross: that at the place ``best``, else the one with the best objective. Between the trials the
    surface is interpolated linearly.
    """
    scales = [Scale(values, log=log) for _, values, log in (x, y)]
    places = [scale.places(each[1]) for scale, each in zip(scales, (x, y), strict=True)]
    numbers = _drawable(losses)
    if len(numbers) < LEAST_POINTS or not _spans_a_plane(*places):
        return None
    spread = numbers.min() > 0 and numbers.max() > 30 * numbers.min()
    heights = np.log10(numbers) if spread else numbers
    heights = -heights if maximize else heights
    # Far above the median no contour matters, and one diverged trial would hide all others.
    heights = np.minimum(heights, np.quantile(heights, 0.9))

    figure = new_figure(width=6.4, height=4.6)
    axes = figure.subplots()
    along, up = places
    # Neighbours by their places in the picture: qhull takes no axes of very different size.
    neighbours = Triangulation(_share(along), _share(up)).triangles
    surface = Triangulation(along, up, neighbours)
    axes.tricontourf(surface, heights, levels=LEVELS, cmap=_SHADES)
    axes.scatter(along, up, s=14, color="white", edgecolor=QUIET, lw=0.8)
    if best is None:
        best = int(np.argmax(numbers) if maximize else np.argmin(numbers))
    axes.plot(places[0][best], places[1][best], "x", color=VERMILION, ms=10, mew=2.5)
    axes.annotate(
        f"{numbers[best]:.4g}",
        (places[0][best], places[1][best]),
        xytext=(7, 5),
        textcoords="offset points",
        fontsize=9,
        color=INK,
    )
    for scale, axis in zip(scales, (axes.xaxis, axes.yaxis), strict=True):
        scale.label(axis)
    across, upwards = (label(name, most=_LONGEST_KEY) for name, _, _ in (x, y))
    dress(axes, title=label(of), xlabel=across, ylabel=upwards)
    return figure


def _spans_a_plane(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether points ``[n]`` lie on more than one line."""
    points = np.stack([x - x.mean(), y - y.mean()], axis=1)
    sizes = points.std(axis=0)
    if not (sizes > 0).all():
        return False
    return bool(np.linalg.matrix_rank(points / sizes, tol=1e-6) == 2)


def _share(places: np.ndarray) -> np.ndarray:
    """Return places ``[n]`` as shares 0 … 1 of their axis."""
    low, high = places.min(), places.max()
    return np.asarray((places - low) / (high - low))


def _drawable(losses: Sequence[float]) -> np.ndarray:
    """Return losses ``[n]``; a larger one than matplotlib's ticks can take is cut."""
    return np.clip(np.array(losses, dtype=float), -_LARGEST, _LARGEST)


def _scale_losses(axes: Axes, losses: np.ndarray) -> None:
    finite = [loss for loss in losses if math.isfinite(loss)]
    if finite and min(finite) > 0 and max(finite) > 30 * min(finite):
        axes.set_yscale("log")
