"""The evidence of a diagnosis: curves with what decided, gradients by layer, silent units."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.diagnosis.history import History
from pipeline.diagnosis.verdict import Diagnosis
from pipeline.records import SignalRecord
from pipeline.reporting.diagnosis_text import words
from pipeline.reporting.style import BLUE, INK, ORANGE, QUIET, VERMILION, dress, name_line_ends, new_figure

_PARTS = (("train", "training", BLUE), ("val", "validation", VERMILION))


def plot(history: History, found: Diagnosis) -> Figure:
    """Draw losses with 95 % bands, the epochs that decided, and maps of gradients and silent units.

    Without signals there are no bands and no maps. The guessing line is drawn where it is known.
    """
    signals = history.signals
    maps = _maps(signals) if signals else []
    figure = new_figure(width=8.6, height=3.6 + 2.1 * len(maps))
    grid = figure.add_gridspec(1 + len(maps), 1, height_ratios=[3.4, *([2.0] * len(maps))])
    _losses(figure.add_subplot(grid[0]), history, found)
    for place, (title, values, names, logarithmic) in enumerate(maps, start=1):
        _map(figure, figure.add_subplot(grid[place]), title, values, names, logarithmic, signals)
    return figure


def _losses(axes: Axes, history: History, found: Diagnosis) -> None:
    epochs = history.epochs + 1
    ends = []
    for part, name, colour in _PARTS:
        curve = next(
            (history.curves[k] for k in (f"{part}/cross_entropy", f"{part}/loss") if k in history.curves),
            None,
        )
        if curve is None:
            continue
        finite = np.isfinite(curve)
        axes.plot(epochs[finite], curve[finite], color=colour, lw=1.8, marker="o", markersize=3)
        if finite.any():
            ends.append((float(epochs[finite][-1]), float(curve[finite][-1]), name, colour))
        _band(axes, history.signals, part, colour)
    spans = {c.epochs for f in found.findings[:1] for c in f.conditions if c.epochs and c.probability >= 0.5}
    for first, last in spans:
        axes.axvspan(first - 0.5, last + 0.5, color=ORANGE, alpha=0.10, lw=0)
    values = np.concatenate([c for n, c in history.curves.items() if n.endswith(("loss", "cross_entropy"))])
    positive = values[np.isfinite(values) & (values > 0)]
    if len(positive) and positive.max() > 20 * positive.min():
        axes.set_yscale("log")
    prior = history.prior_entropy
    if prior is not None and len(positive) and positive.max() > 0.5 * prior:
        axes.axhline(prior, color=QUIET, lw=0.9, ls=(0, (2, 3)))
        axes.annotate(
            "guessing",
            (1.0, prior),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            color=QUIET,
        )
    dress(
        axes,
        title=f"{words(found.verdict)}, confidence {found.confidence:.2f}",
        xlabel="epoch",
        ylabel="loss (nats)",
    )
    axes.set_title("shaded: the epochs that decided", loc="right", fontsize=8.5, color=INK, pad=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10, min_n_ticks=1))
    if axes.get_yscale() == "linear":
        name_line_ends(axes, ends)
    else:
        for x, y, name, colour in ends:
            axes.annotate(
                name,
                (x, y),
                xytext=(8, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                fontweight="bold",
                color=colour,
                annotation_clip=False,
            )


def _band(axes: Axes, signals: SignalRecord | None, part: str, colour: str) -> None:
    """Mean ± 1.96 standard errors over the probe's examples."""
    if signals is None or f"{part}/loss_per_example" not in signals.arrays:
        return
    losses = signals.arrays[f"{part}/loss_per_example"].astype(np.float64)
    rows = (signals.arrays["epochs"] >= 0) & np.isfinite(losses).all(1)
    if losses.shape[1] < 2 or not rows.any():
        return
    mean, reach = losses[rows].mean(1), 1.96 * losses[rows].std(1) / np.sqrt(losses.shape[1])
    axes.fill_between(
        signals.arrays["epochs"][rows] + 1, mean - reach, mean + reach, color=colour, alpha=0.18, lw=0
    )


Map = tuple[str, np.ndarray, Sequence[str], bool]


def _maps(signals: SignalRecord) -> list[Map]:
    found: list[Map] = []
    layers = json.loads(signals.metadata["layers"])
    if len(layers):
        norms = signals.arrays["layers/gradient_norm"].astype(np.float64)
        scaled = norms / np.sqrt(signals.arrays["layers/num_weights"])
        found.append(("Gradient of each layer, per root of its weights", scaled.T, layers, True))
    units = [a["name"] for a in json.loads(signals.metadata["activations"])]
    dead = signals.arrays["units/dead"].astype(np.float64)
    if len(units) and np.nanmax(dead, initial=0.0) > 0.05:
        found.append(("Share of silent units", dead.T, units, False))
    return found


def _map(
    figure: Figure,
    axes: Axes,
    title: str,
    values: np.ndarray,
    names: Sequence[str],
    logarithmic: bool,
    signals: SignalRecord | None,
) -> None:
    assert signals is not None
    epochs = signals.arrays["epochs"] + 1
    positive = values[np.isfinite(values) & (values > 0)]
    norm = None
    if logarithmic and len(positive):
        low, high = float(positive.min()), float(positive.max())
        norm = LogNorm(vmin=low, vmax=max(high, low * 1.01))
    shown = np.where(np.isfinite(values) & ((values > 0) if logarithmic else True), values, np.nan)
    edges = np.append(epochs - 0.5, epochs[-1] + 0.5)
    mesh = axes.pcolormesh(
        edges,
        np.arange(len(names) + 1),
        shown,
        cmap="cividis",
        norm=norm,
        **({} if logarithmic else {"vmin": 0.0, "vmax": 1.0}),  # type: ignore[arg-type]
    )
    dress(axes, title=title, xlabel="epoch (0 is before the first step)", grid="none")
    step = max(1, len(names) // 8)
    axes.set_yticks(np.arange(len(names))[::step] + 0.5, list(names)[::step], fontsize=7.5)
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10, min_n_ticks=1))
    bar = figure.colorbar(mesh, ax=axes, pad=0.01, aspect=12)
    bar.ax.tick_params(labelsize=7.5, colors=QUIET)
    bar.outline.set_visible(False)
