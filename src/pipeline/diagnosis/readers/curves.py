"""Curves from a file: CSV or JSON, of whatever framework."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.diagnosis.history import Context, History
from pipeline.diagnosis.readers.names import EPOCH, plain
from pipeline.diagnosis.readers.series import Points, history_of
from pipeline.errors import DataError

MAX_BYTES = 50 * 2**20


def read_curves(path: Path, *, num_classes: int | None = None, num_val: int | None = None) -> History:
    """Read a history that another framework has logged; docs/histories.md lists the formats.

    CSV with a header (Keras' and Lightning's loggers, a table of one's own), or JSON: a dictionary of lists
    (Keras' ``history.history``), a list of dictionaries, or the Hugging Face trainer's ``log_history``.
    num_classes, num_val: what the file does not tell; with them more rules can run.
    Raises `DataError` for what is no such file; the message names line and column.
    """
    text = _text(path)
    columns = _from_json(text, path) if text.lstrip()[:1] in ("{", "[") else _from_csv(text, path)
    return history_of(columns, context=Context(num_classes=num_classes, num_val=num_val), name=path.name)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(
                f"{path}: is larger than {MAX_BYTES // 2**20} MB, no history is. Give the curves by epoch."
            )
        return path.read_bytes().decode("utf-8-sig")
    except IsADirectoryError as error:
        raise DataError(f"{path}: is a folder. Give the file with the curves.") from error
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}). Give a CSV or JSON file of curves."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not text. Give a CSV or JSON file of curves.") from error


# --- CSV ------------------------------------------------------------------------------------------


def _from_csv(text: str, path: Path) -> dict[str, Points]:
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        raise DataError(f"{path}: has {len(lines)} lines; needed are a header and one line for each epoch.")
    separator = max(",;\t", key=lines[0].count)
    try:
        rows = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=separator, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}: is not a CSV table ({error}).") from error
    header = [name.strip() for name in rows[0]]
    twice = next((n for n in header if n and header.count(n) > 1), None)
    if twice:
        raise DataError(f"{path}: has two columns named {twice}. Rename one.")
    epoch = next((i for i, n in enumerate(header) if plain(n) in EPOCH), None)
    columns: dict[str, list[tuple[float, float]]] = {n: [] for i, n in enumerate(header) if i != epoch and n}
    for number, cells in enumerate(rows[1:], start=2):
        if len(cells) != len(header):
            raise DataError(f"{path}, line {number}: has {len(cells)} cells, the header {len(header)}.")
        at = float(number) if epoch is None else _number(cells[epoch], path, number, header[epoch])
        for index, cell in enumerate(cells):
            if index != epoch and header[index] and cell.strip():
                value = _or_nothing(cell)
                if value is not None:
                    columns[header[index]].append((at, value))
                elif plain(header[index]) not in ("time", "date", "name", "phase"):
                    _number(cell, path, number, header[index])
    return {name: _last_of_each(points) for name, points in columns.items() if points}


def _last_of_each(points: Sequence[tuple[float, float]]) -> Points:
    """Lightning spreads an epoch over several lines: its last value counts. A history that goes back does not."""
    steps = [x for x, _ in points]
    if any(b < a for a, b in itertools.pairwise(steps)):
        return points  # refused where the points are put in order, if one stands twice
    return list(dict(points).items())


def _number(cell: str, path: Path, line: int, column: str) -> float:
    value = _or_nothing(cell)
    if value is None:
        raise DataError(
            f"{path}, line {line}, {column}: {cell!r} is not a number. Write one, or leave it empty."
        )
    return value


def _or_nothing(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


# --- JSON -----------------------------------------------------------------------------------------


def _from_json(text: str, path: Path) -> dict[str, Points]:
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not valid JSON ({error}).") from error
    if isinstance(found, dict) and isinstance(found.get("log_history"), list):
        found = found["log_history"]
    if isinstance(found, dict) and isinstance(found.get("history"), dict):
        found = found["history"]
    if isinstance(found, list) and found and all(isinstance(row, dict) for row in found):
        return _from_rows(found, path)
    if isinstance(found, dict):
        return _from_lists(found, path)
    raise DataError(
        f"{path}: must hold a dictionary of lists, or a list of dictionaries, one for each epoch."
    )


def _from_lists(found: Mapping[str, Any], path: Path) -> dict[str, Points]:
    lists = {str(k): v for k, v in found.items() if isinstance(v, list)}
    lengths = {k: len(v) for k, v in lists.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{k} {n}" for k, n in lengths.items())
        raise DataError(f"{path}: its lists differ in length ({told}). Give every epoch one number in each.")
    axis = next((v for k, v in lists.items() if plain(k) in EPOCH), None)
    rows = len(next(iter(lists.values()), []))
    steps = [_plain_number(x, path, "epoch") for x in axis] if axis else [float(i) for i in range(rows)]
    return {
        k: [(s, _plain_number(x, path, k)) for s, x in zip(steps, v, strict=True) if x is not None]
        for k, v in lists.items()
        if plain(k) not in EPOCH and v
    }


def _from_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> dict[str, Points]:
    columns: dict[str, list[tuple[float, float]]] = {}
    for index, row in enumerate(rows):
        epoch = next((v for k, v in row.items() if plain(str(k)) in EPOCH), index)
        at = _plain_number(epoch, path, "epoch")
        for key, value in row.items():
            if (
                plain(str(key)) not in EPOCH
                and isinstance(value, int | float)
                and not isinstance(value, bool)
            ):
                columns.setdefault(str(key), []).append((at, float(value)))
    return {name: _last_of_each(points) for name, points in columns.items()}


def _plain_number(value: Any, path: Path, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise DataError(f"{path}, {key}: {value!r} is not a number.")
    number = _or_nothing(str(value))
    if number is None or (key == "epoch" and not math.isfinite(number)):
        raise DataError(f"{path}, {key}: {value!r} is not a number.")
    return number
