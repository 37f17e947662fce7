"""Named columns of numbers in the order of time: the one form between a file and a history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pipeline.diagnosis.readers.cells import Cell, numbers_of
from pipeline.errors import DataError

MAX_ROWS = 2_000_000
MAX_COLUMNS = 2_000


@dataclass(frozen=True)
class Column:
    """The numbers of one name.

    rows: ``[N]`` int64, increasing: the places in time that have a number.
    values: ``[N]`` float64; NaN and infinity are values.
    bad: the first cell that is no number, with its place; empty where all are.
    """

    rows: np.ndarray
    values: np.ndarray
    bad: str = ""


@dataclass(frozen=True)
class Table:
    """What a file holds.

    kind: where it comes from: table, lists, rows, console, events.
    texts: columns of words → their cells by row.
    restarts: rows before which the header stood again.
    independent: the columns are lists of their own, so their rows need not fit together.
    notes: what a person should know, as parts of a sentence.
    """

    columns: Mapping[str, Column]
    num_rows: int
    kind: str = "table"
    texts: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    restarts: tuple[int, ...] = ()
    independent: bool = False
    notes: tuple[str, ...] = ()

    def noted(self, note: str) -> Table:
        """Return the same table with one more note."""
        return replace(self, notes=(*self.notes, note))


def column_of(
    cells: Sequence[Cell], rows: Sequence[int] | None = None, *, decimal_comma: bool = False
) -> Column:
    """Make a column of cells: numbers, numbers as text, or nothing.

    rows: the place of each cell; 0, 1, 2, … without them.
    """
    values, there, bad = numbers_of(cells, decimal_comma=decimal_comma)
    places = np.arange(len(cells)) if rows is None else np.asarray(rows, dtype=np.int64)
    told = f"{bad[1]!r:.40}, value {bad[0] + 1} of the column" if bad else ""
    return _without_gaps(Column(places[there].astype(np.int64), values, told))


def _without_gaps(column: Column) -> Column:
    """Leave out the NaN of a column in which numbers come back again and again.

    A training that diverged does not recover twice: such a NaN stands for an empty cell.
    """
    missing = np.isnan(column.values)
    if np.count_nonzero(missing[:-1] & ~missing[1:]) < 2:
        return column
    return Column(column.rows[~missing], column.values[~missing], column.bad)


def table_of_rows(rows: Sequence[Mapping[str, Cell]], *, kind: str = "rows") -> Table:
    """Make a table of one dictionary for each point in time."""
    if len(rows) > MAX_ROWS:
        raise DataError(too_many(len(rows)))
    cells: dict[str, list[Cell]] = {}
    places: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        for name, cell in row.items():
            if cell is None:
                continue
            cells.setdefault(name, []).append(cell)
            places.setdefault(name, []).append(index)
    return table_of_cells(cells, places, num_rows=len(rows), kind=kind)


def table_of_cells(
    cells: Mapping[str, Sequence[Cell]],
    places: Mapping[str, Sequence[int]] | None = None,
    *,
    num_rows: int,
    kind: str,
    decimal_comma: bool = False,
) -> Table:
    """Make a table of the cells of each name. A column without a single number is one of words."""
    if len(cells) > MAX_COLUMNS:
        raise DataError(
            f"it has {len(cells):,} columns, and at most {MAX_COLUMNS:,} are read. "
            "Give the curves only."
        )
    columns: dict[str, Column] = {}
    texts: dict[str, list[str | None]] = {}
    for name, listed in cells.items():
        rows = places[name] if places else None
        column = column_of(listed, rows, decimal_comma=decimal_comma)
        if len(column.values):
            columns[name] = column
        elif column.bad:
            texts[name] = _spread(listed, rows, num_rows)
    return Table(columns, num_rows, kind, texts)


def _spread(cells: Sequence[Cell], rows: Sequence[int] | None, num_rows: int) -> list[str | None]:
    words: list[str | None] = [None] * num_rows
    for row, cell in zip(rows if rows is not None else range(len(cells)), cells, strict=True):
        words[row] = None if cell in (None, "") else str(cell).strip()
    return words


def too_many(num_rows: int) -> str:
    """Return the message for too many rows."""
    return (
        f"it has {num_rows:,} rows, and at most {MAX_ROWS:,} are read. "
        "Give the curves by epoch, or every tenth step."
    )


def merged(tables: Iterable[tuple[str, Table]], step: str) -> Table:
    """Join tables that share a column of steps: the rows become the steps of all, in order.

    tables: a prefix for the names, and the table. Each must have the column ``step``.
    """
    joined = [(prefix, table, table.columns[step]) for prefix, table in tables]
    steps = np.unique(np.concatenate([axis.values for _, _, axis in joined]))
    columns = {step: Column(np.arange(len(steps)), steps)}
    for prefix, table, axis in joined:
        of_row = np.full(table.num_rows, np.nan)
        of_row[axis.rows] = axis.values
        for name, column in table.columns.items():
            if name == step:
                continue
            known = ~np.isnan(of_row[column.rows])
            places = np.searchsorted(steps, of_row[column.rows][known])
            last = len(places) - 1 - np.unique(places[::-1], return_index=True)[1]
            values = column.values[known]
            columns[f"{prefix}{name}"] = Column(places[last], values[last], column.bad)
    return Table(columns, len(steps), "events")
