"""Lists of their own lengths → one order of time: step losses between validation points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pipeline.diagnosis.readers.columns import Column, Table
from pipeline.diagnosis.readers.names import is_axis


def spread(table: Table, curves: Mapping[str, Column]) -> tuple[Table, dict[str, Column], str]:
    """Place the columns of a table of independent lists, and its curves, in one order of time.

    Of a list that is half as long as the longest curve or shorter, each value stands at the end of
    its equal share. A list that is a little shorter begins with the longest one; where validation
    has one value more, it was measured before the training too. One value stands at the end.
    Columns of epochs or steps are kept only where all curves have one length.

    Returns the table, the curves, and a note.
    """
    whole = {curve: _length(column) for curve, column in curves.items()}
    longest = max(whole.values())
    many = {length for length in whole.values() if length > 1}
    uneven = len(many) > 1
    placed = {
        curve: Column(_rows(column.rows, whole[curve], longest, curve, whole), column.values)
        for curve, column in curves.items()
    }
    columns = {
        name: replace(column, rows=_rows(column.rows, _length(column), longest, "", whole))
        for name, column in table.columns.items()
        if not (is_axis(name) and (uneven or _length(column) != longest))
    }
    note = ""
    if uneven:
        listed = ", ".join(f"{curve} {length}" for curve, length in whole.items())
        note = f"lists of unequal length ({listed}), spread over the same time"
    return replace(table, columns=columns, num_rows=longest, independent=False), placed, note


def _length(column: Column) -> int:
    return int(column.rows[-1]) + 1 if len(column.rows) > 1 else 1


def _rows(
    rows: np.ndarray, length: int, longest: int, curve: str, lengths: Mapping[str, int]
) -> np.ndarray:
    if length == 1:
        return np.full(len(rows), longest - 1)
    if length == longest:
        return rows
    if longest >= 2 * length or length > longest:
        ends: np.ndarray = np.maximum(-(-(rows + 1) * longest // length) - 1, 0)
        return np.minimum(ends, longest - 1)
    val_longer = any(n == longest and c.startswith("val/") for c, n in lengths.items())
    before = curve.startswith("train/") and val_longer and length == longest - 1
    return rows + 1 if before else rows
