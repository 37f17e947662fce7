"""The evidence of a diagnosis in one picture: losses, gradients by layer, silent units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.diagnosis.history import History
from pipeline.diagnosis.record import Diagnosis, Span
from pipeline.records import SignalRecord
from pipeline.reporting import layer_maps
from pipeline.reporting.evidence_curves import draw_losses, note_decided
from pipeline.reporting.layer_maps import LayerMap
from pipeline.reporting.style import INK, QUIET, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SILENT = 0.05  # below this share of silent units their map would be one dark field


def plot(history: History, diagnosis: Diagnosis) -> Figure:
    """Draw losses with 95 % bands, the epochs that decided, and maps of gradients and silent units.

    Without signals there are no bands and no maps. The guessing line is drawn where it is known.
    """
    maps = _maps(history.signals) if history.signals else []
    figure = new_figure(width=8.6, height=3.6 + 2.1 * len(maps))
    grid = figure.add_gridspec(1 + len(maps), 1, height_ratios=[3.4, *([2.0] * len(maps))])
    axes = figure.add_subplot(grid[0])
    draw_losses(axes, history, epochs_that_decided(diagnosis))
    axes.set_title(diagnosis.in_words, loc="left", fontsize=11, fontweight="bold", color=INK, pad=8)
    axes.set_ylabel("loss (nats)", fontsize=9.5, color=QUIET)
    note_decided(axes)
    for place, shown in enumerate(maps, start=1):
        layer_maps.draw(figure, figure.add_subplot(grid[place]), shown)
    return figure


def epochs_that_decided(diagnosis: Diagnosis) -> list[Span]:
    """Return the epochs (1-based) of the first finding's conditions that hold."""
    conditions = [c for finding in diagnosis.findings[:1] for c in finding.conditions]
    return [c.epochs for c in conditions if c.epochs and c.probability >= 0.5]


def _maps(signals: SignalRecord) -> list[LayerMap]:
    gradients, dead = layer_maps.gradient_map(signals), layer_maps.dead_unit_map(signals)
    silent = dead is not None and np.nanmax(dead.values, initial=0.0) > _SILENT
    return [m for m in (gradients, dead if silent else None) if m is not None]
