"""Loss and accuracy by epoch over several seeds: the mean, and one standard deviation around it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pipeline.errors import DataError
from pipeline.records import EpochRecord
from pipeline.reporting.style import BLUE, QUIET, VERMILION, dress, name_line_ends, new_figure

_PARTS = (("train", "training", BLUE), ("val", "validation", VERMILION))
_PANELS = (("loss", "Loss (nats)"), ("accuracy", "Accuracy"))


def plot(histories: Sequence[Sequence[EpochRecord]]) -> Figure:
    """Draw ``train/…`` and ``val/…`` of all runs over 1-based epochs.

    An epoch that some runs did not reach, or where their number is not finite, is drawn from the
    others. Its band needs two of them.
    Raises `DataError` where no run has an epoch.
    """
    if not any(histories):
        raise DataError("There is no epoch to draw. Train for at least one epoch.")
    figure = new_figure(width=8.6, height=3.5)
    rows = figure.subplots(1, len(_PANELS), squeeze=False)[0]
    for axes, (metric, title) in zip(rows, _PANELS, strict=True):
        _panel(axes, histories, metric, title)
    rows[0].set_title(
        f"band: ± 1 sd over {len(histories)} seeds", loc="right", fontsize=8.5, color=QUIET, pad=8
    )
    return figure


def _panel(axes: Axes, histories: Sequence[Sequence[EpochRecord]], metric: str, title: str) -> None:
    ends = []
    for part, words, color in _PARTS:
        mean, spread = mean_and_spread(histories, f"{part}/{metric}")
        epochs = np.arange(1.0, len(mean) + 1)
        measured = np.flatnonzero(np.isfinite(mean))
        if len(measured):
            axes.plot(epochs, mean, color=color, lw=1.8, marker="o", ms=3 if len(mean) < 40 else 0)
            axes.fill_between(epochs, mean - spread, mean + spread, color=color, alpha=0.2, lw=0)
            last = measured[-1]
            ends.append((float(epochs[last]), float(mean[last]), words, color))
    dress(axes, title=title, xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axes.margins(x=0.03, y=0.08)
    if metric == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol="\N{NO-BREAK SPACE}%"))
    name_line_ends(axes, ends)


def mean_and_spread(
    histories: Sequence[Sequence[EpochRecord]], name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation (n - 1) of a metric by epoch, each ``[epochs]``.

    An epoch without a finite number has the mean NaN; one with fewer than two the spread NaN.
    """
    longest = max(len(rows) for rows in histories)
    values = np.full((len(histories), longest), np.nan)
    for place, rows in enumerate(histories):
        values[place, : len(rows)] = [row.metrics.get(name, np.nan) for row in rows]
    values[~np.isfinite(values)] = np.nan
    counts = np.isfinite(values).sum(axis=0)
    mean, spread = np.full(longest, np.nan), np.full(longest, np.nan)
    mean[counts > 0] = np.nanmean(values[:, counts > 0], axis=0)
    spread[counts > 1] = np.nanstd(values[:, counts > 1], axis=0, ddof=1)
    return mean, spread
