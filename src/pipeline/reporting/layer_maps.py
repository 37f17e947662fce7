"""Maps of the signals inside a network: layers down, epochs across."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pipeline.records import SignalRecord
from pipeline.reporting.style import BLUE, QUIET, SKY, dress, label, new_figure, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_NAMES = 24
# Runs from the paper's colour to the strongest, so that it also reads inverted on a dark page
_STRENGTH = ("#f4f8fb", SKY, BLUE, "#001f35")


@dataclass(frozen=True)
class LayerMap:
    """Values ``[layers, moments]``, NaN where nothing was measured.

    epochs: ``[moments]``, 0 before the first step.
    logarithmic: whether the colour's scale is; else it is 0 … 1.
    """

    title: str
    values: np.ndarray
    names: Sequence[str]
    epochs: np.ndarray
    logarithmic: bool


def gradient_map(signals: SignalRecord) -> LayerMap | None:
    """Return gradient norms per root of the layers' weights; None where no layer was measured."""
    names = json.loads(signals.metadata["layers"])
    if not names:
        return None
    norms = signals.arrays["layers/gradient_norm"].astype(np.float64)
    scaled = norms / np.sqrt(signals.arrays["layers/num_weights"])
    epochs = signals.arrays["epochs"] + 1
    return LayerMap(
        "Gradient of each layer, per root of its weights", scaled.T, names, epochs, True
    )


def dead_unit_map(signals: SignalRecord) -> LayerMap | None:
    """Return the share of units that no image of the sample activates; None without activations."""
    names = [a["name"] for a in json.loads(signals.metadata["activations"])]
    if not names:
        return None
    dead = signals.arrays["units/dead"].astype(np.float64)
    return LayerMap("Share of silent units", dead.T, names, signals.arrays["epochs"] + 1, False)


def plot(shown: LayerMap, *, width: float) -> Figure:
    """Draw one map without its title, ``width`` inches wide; the height fits its layers."""
    figure = new_figure(width=width, height=1.1 + 0.3 * min(max(len(shown.names), 3), _MOST_NAMES))
    draw(figure, figure.add_subplot(), replace(shown, title=""))
    return figure


def draw(figure: Figure, axes: Axes, shown: LayerMap) -> None:
    """Draw a map with its colour bar into given axes."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    values, epochs = shown.values, shown.epochs
    measured = np.isfinite(values) & ((values > 0) if shown.logarithmic else True)
    limits: dict[str, object] = {"vmin": 0.0, "vmax": 1.0}
    if shown.logarithmic and measured.any():
        low, high = float(values[measured].min()), float(values[measured].max())
        limits = {"norm": LogNorm(vmin=low, vmax=max(high, low * 1.01))}
    mesh = axes.pcolormesh(
        np.append(epochs - 0.5, epochs[-1] + 0.5),
        np.arange(len(shown.names) + 1),
        np.where(measured, values, np.nan),
        cmap=LinearSegmentedColormap.from_list("strength", _STRENGTH),
        **limits,  # type: ignore[arg-type]
    )
    dress(axes, title=shown.title, xlabel="epoch (0 is before the first step)", grid="none")
    axes.patch.set(hatch="////", edgecolor="#b8bec6")  # not measured
    step = -(-len(shown.names) // _MOST_NAMES)
    axes.set_yticks(
        np.arange(len(shown.names))[::step] + 0.5,
        [label(name) for name in shown.names[::step]],
        fontsize=8,
    )
    axes.invert_yaxis()
    whole_numbers(axes.xaxis, most=10)
    bar = figure.colorbar(mesh, ax=axes, pad=0.01, aspect=12)
    bar.ax.tick_params(labelsize=8, colors=QUIET)
    bar.outline.set_visible(False)
