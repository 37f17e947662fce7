"""The time of each row of a table: sessions, epochs, steps, and the means between two points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.diagnosis.readers.columns import Column, Table
from pipeline.diagnosis.readers.names import EPOCH, STEP, plain


@dataclass(frozen=True)
class Axes:
    """Epoch and step of each row ``[R]`` float64; None where a table has no such column.

    names: the columns that hold them.
    """

    epoch: np.ndarray | None
    step: np.ndarray | None
    names: tuple[str, ...]


def axes_of(table: Table) -> Axes:
    """Find the columns of epochs and steps; a row without its own takes that of the row before."""
    found: dict[str, np.ndarray | None] = {"epoch": None, "step": None}
    names = []
    for name, column in table.columns.items():
        kind = "epoch" if plain(name) in EPOCH else "step" if plain(name) in STEP else ""
        if not kind or (table.independent and len(column.rows) < 2):
            continue
        names.append(name)
        finite = np.isfinite(column.values)
        if found[kind] is None and np.any(finite):
            rows, values = column.rows[finite], column.values[finite]
            before = np.searchsorted(rows, np.arange(table.num_rows), side="right") - 1
            found[kind] = values[np.maximum(before, 0)]
    return Axes(found["epoch"], found["step"], tuple(names))


def last_session(
    axis: np.ndarray | None, rows: np.ndarray, restarts: Sequence[int], curves: Sequence[Column]
) -> tuple[np.ndarray, int, bool]:
    """Return which of these rows count, the number of sessions, and whether one was resumed.

    A log that was appended to goes back to its start: only the last session counts. A training that
    was resumed goes back a little: the later rows replace those of the same epochs. A table in
    another order (no epoch stands twice in a curve) has one session.

    axis: epoch or step of each row of the table ``[R]``.  rows: those with numbers ``[N]``.
    """
    everything = np.ones(len(rows), dtype=bool)
    if axis is None:
        start = max((r for r in restarts if np.any(rows >= r)), default=0)
        return rows >= start, 1 + len(restarts) if start else 1, False
    values = axis[rows]
    back = np.append(False, np.diff(values) < 0)
    if not np.any(back) or all(len(np.unique(axis[c.rows])) == len(c.rows) for c in curves):
        return everything, 1, False
    goals = np.where(back, values, np.inf)
    later = np.append(np.minimum.accumulate(goals[::-1])[::-1][1:], np.inf)
    lowest = np.append(np.inf, np.minimum.accumulate(values)[:-1])
    sessions = 1 + int(np.count_nonzero(back & (values <= lowest)))
    kept = values < later
    return kept, sessions, bool(np.any(back & (values > lowest)))


def keys_of(
    axes: Axes, num_rows: int, points: np.ndarray, *, by_step: bool
) -> tuple[np.ndarray, str]:
    """Return the time of each row ``[R]`` and its kind: epoch, step or row.

    The first of epoch, step, and the two together that tells all points apart; else the order of
    the rows.

    points: rows of the curve that gives the epochs.  by_step: prefer the step.
    """
    candidates = [("epoch", axes.epoch), ("step", axes.step)]
    for kind, axis in reversed(candidates) if by_step else candidates:
        if axis is not None and len(np.unique(axis[points])) == len(points):
            return axis, kind
    if axes.epoch is not None and axes.step is not None:
        order = np.lexsort((axes.step, axes.epoch))
        pairs = np.stack([axes.epoch, axes.step])[:, order]
        rank = np.cumsum(np.append(0, np.any(np.diff(pairs) != 0, axis=0)))
        joined = np.empty(num_rows)
        joined[order] = rank
        if len(np.unique(joined[points])) == len(points):
            return joined, "step"
    return np.arange(num_rows, dtype=np.float64), "row"


def last_in_each(ends: np.ndarray, times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the last value of each interval that ends at one of ``ends``; NaN where it has none.

    times: increasing; those after the last end are left out.
    """
    placed = np.full(len(ends), np.nan)
    index = np.searchsorted(ends, times, side="left")
    inside = index < len(ends)
    placed[index[inside]] = values[inside]
    return placed


def mean_in_each(ends: np.ndarray, times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the mean of each interval that ends at one of ``ends``; NaN where it has no value.

    Single values that are not finite are left out. An interval whose last value is not finite keeps
    that one: there the training was lost.
    """
    index = np.searchsorted(ends, times, side="left")
    inside = index < len(ends)
    index, values = index[inside], values[inside]
    finite = np.isfinite(values)
    sums = np.bincount(index[finite], weights=values[finite], minlength=len(ends))
    counts = np.bincount(index[finite], minlength=len(ends))
    means = np.full(len(ends), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    last = np.full(len(ends), np.nan)
    last[index] = values
    lost = np.zeros(len(ends), dtype=bool)
    lost[index] = ~np.isfinite(values)
    return np.where(lost, last, means)


def equal_blocks(times: np.ndarray, most: int) -> np.ndarray:
    """Return the ends of at most this many blocks of equally many points."""
    if len(times) <= most:
        return times
    size = -(-len(times) // most)
    ends = np.arange(size - 1, len(times), size)
    return times[np.unique(np.append(ends, len(times) - 1))]
