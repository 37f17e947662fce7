"""The evidence of a diagnosis in one picture: losses with what decided, gradients by layer, silent units."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from pipeline.diagnosis.history import History
from pipeline.diagnosis.verdict import Diagnosis
from pipeline.records import SignalRecord
from pipeline.reporting import layer_maps
from pipeline.reporting.diagnosis_text import words
from pipeline.reporting.evidence_curves import draw_losses, note_decided
from pipeline.reporting.layer_maps import LayerMap
from pipeline.reporting.style import INK, QUIET, new_figure

_SILENT = 0.05  # below this share of silent units their map would be one dark field


def plot(history: History, found: Diagnosis) -> Figure:
    """Draw losses with 95 % bands, the epochs that decided, and maps of gradients and silent units.

    Without signals there are no bands and no maps. The guessing line is drawn where it is known.
    """
    maps = _maps(history.signals) if history.signals else []
    figure = new_figure(width=8.6, height=3.6 + 2.1 * len(maps))
    grid = figure.add_gridspec(1 + len(maps), 1, height_ratios=[3.4, *([2.0] * len(maps))])
    axes = figure.add_subplot(grid[0])
    decided = [
        c.epochs for f in found.findings[:1] for c in f.conditions if c.epochs and c.probability >= 0.5
    ]
    draw_losses(axes, history, decided)
    verdict = f"{words(found.verdict)}, confidence {found.confidence:.2f}"
    axes.set_title(verdict, loc="left", fontsize=11, fontweight="bold", color=INK, pad=8)
    axes.set_ylabel("loss (nats)", fontsize=9.5, color=QUIET)
    note_decided(axes)
    for place, shown in enumerate(maps, start=1):
        layer_maps.draw(figure, figure.add_subplot(grid[place]), shown)
    return figure


def _maps(signals: SignalRecord) -> list[LayerMap]:
    gradients, dead = layer_maps.gradient_map(signals), layer_maps.dead_unit_map(signals)
    silent = dead is not None and np.nanmax(dead.values, initial=0.0) > _SILENT
    return [m for m in (gradients, dead if silent else None) if m is not None]
