"""The file of a table, CSV or Parquet: columns of text, before any of it becomes a number."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import DataError

MISSING = ("", "na", "n/a", "nan", "null", "none", "?")  # in any case of letters
_DELIMITERS = ",;\t|"

Cell = str | None
Cells = Mapping[str, Sequence[Cell]]  # column → its values, None where one is missing


def read_cells(path: Path) -> Cells:
    """Read a CSV (comma, semicolon, tab or bar) or a Parquet file; the first line has the names.

    Raises `DataError` for a file that is missing, empty, or no table.
    """
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "there is no such file"
        raise DataError(f"{path}: {found}. Give a .csv or .parquet file.")
    cells = _parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _csv(path)
    if not cells or not len(next(iter(cells.values()))):
        raise DataError(f"{path}: has no rows. Give a table with names in its first line.")
    return cells


def _csv(path: Path) -> Cells:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text ({error.reason}). Save it as UTF-8.") from error
    head = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        lines = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise DataError(
            f"{path}: line {reader.line_num} cannot be read ({error}). A quote that is opened and "
            "not closed does this: close it."
        ) from error
    # A row of delimiters alone is a row: all of its values are missing.
    rows = [(number, row) for number, row in lines if row]
    while rows and not any(rows[0][1]):
        del rows[0]
    if not rows:
        return {}
    names = [name.strip() for name in rows[0][1]]
    _check_names(names, path)
    for number, row in rows[1:]:
        if len(row) != len(names):
            raise DataError(
                f"{path}: line {number} has {len(row)} values and the first line {len(names)} "
                "names. Quote values that hold the delimiter."
            )
    return {name: [_cell(row[index]) for _, row in rows[1:]] for index, name in enumerate(names)}


def _check_names(names: Sequence[str], path: Path) -> None:
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise DataError(f"{path}: two columns are called {twice!r}. Rename one of them.")
    if all(number_of(name) is not None for name in names):
        raise DataError(
            f"{path}: its first line has numbers only, and must have the names of the columns. "
            "Add such a line."
        )


def _parquet(path: Path) -> Cells:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import read_table
    except ImportError as error:
        raise DataError(
            f"{path}: reading Parquet needs the package pyarrow. Install it, or save the table as "
            "CSV."
        ) from error
    try:
        table = read_table(path)
    except (ArrowException, OSError) as error:
        raise DataError(f"{path}: is no Parquet file that can be read ({error})") from error
    _check_names(table.column_names, path)
    return {
        name: [_cell(value) for value in table.column(name).to_pylist()]
        for name in table.column_names
    }


def _cell(value: Any) -> Cell:
    if value is None:
        return None
    text = repr(value) if isinstance(value, float) else str(value).strip()
    return None if text.lower() in MISSING else text


def number_of(text: str) -> float | None:
    """Return a cell as a finite number; None for any other text."""
    if "_" in text:  # a code: Python alone reads 1_2 as 12
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
