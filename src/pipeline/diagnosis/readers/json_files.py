"""Text of JSON, of JSON lines, or of a printed Python dictionary → columns."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.diagnosis.readers.cells import Cell, number
from pipeline.diagnosis.readers.columns import (
    MAX_COLUMNS,
    MAX_ROWS,
    Column,
    Table,
    column_of,
    table_of_rows,
    too_many,
)
from pipeline.diagnosis.readers.names import is_axis
from pipeline.errors import DataError

# Keys under which tools keep the rows or the columns.
_WRAPPERS = ("log_history", "history", "logs", "metrics", "results", "data", "evals_result")
_DEEPEST = 6

_PYTHON = re.compile(
    r"""'((?:[^'\\\n]|\\.)*+)'|"((?:[^"\\\n]|\\.)*+)"|\b(nan|inf|None|True|False)\b|([()])"""
    r"|,(?=\s*+[\]})])"
)
_WRAPPED_NUMBER = re.compile(
    r"\b(?:np\.|numpy\.)?(?:float\d*|int\d*|tensor)\(\s*([-+\w.]+)[^()]*\)"
)
_WRAPPED_LIST = re.compile(r"\b(?:np\.|numpy\.)?(?:array|tensor)\(\s*(\[[^\[\]]*\])[^()\[\]]*\)")
# A line of a console: ``[0]  train-rmse:0.5``, ``[INFO] epoch 1``.
_BRACKETED = re.compile(r"\[[^\]\[\n\"']{0,60}\][ \t]*[A-Za-z\[]")
_WORDS = {"nan": "NaN", "inf": "Infinity", "None": "null", "True": "true", "False": "false"}


def read_json(text: str) -> Table | None:
    """Read JSON, JSON lines or a printed dictionary; None for text that is none of these.

    Raises `DataError` for JSON that is damaged or holds no curves.
    """
    start = text.lstrip()[:100]
    if not start.startswith(("{", "[")):
        return _assigned(text)
    if _BRACKETED.match(start):
        return None
    try:
        return table_of(json.loads(text))
    except (ValueError, RecursionError) as error:
        lines = _lines(text)
        if lines is not None:
            return lines
        return _printed(text, str(error))


def table_of(content: Any) -> Table:
    """Make a table of what JSON holds: columns or rows, also nested, or one list of losses.

    Raises `DataError` where it holds no list and no rows of numbers.
    """
    content = _unwrapped(content)
    if isinstance(content, Mapping):
        content = _oriented(_rows_inside(content))
    if isinstance(content, Mapping):
        return _of_lists(content)
    if isinstance(content, Sequence) and content and not isinstance(content, str):
        if all(isinstance(row, Mapping) for row in content):
            return table_of_rows([_flat_row(row) for row in content])
        if all(isinstance(x, int | float) or x is None for x in content):
            return _of_lists({"loss": content})
        if all(isinstance(row, list) and len(row) == len(content[0]) for row in content):
            return _of_lists(
                dict(zip(_unnamed(content[0]), zip(*content, strict=True), strict=True))
            )
    raise DataError(
        "it holds no curves. Give a dictionary of lists, or a list of dictionaries, one for each "
        "epoch."
    )


# --- the forms of JSON ----------------------------------------------------------------------------


def _unwrapped(content: Any) -> Any:
    """What stands under ``log_history``, ``history`` and the like."""
    for _ in range(_DEEPEST):
        if not isinstance(content, Mapping):
            break
        inside = next(
            (content[key] for key in _WRAPPERS if isinstance(content.get(key), list | dict)), None
        )
        if inside is None or ("columns" in content and "data" in content) or not inside:
            break
        if isinstance(inside, list) and not isinstance(inside[0], dict):
            break
        content = inside
    return content


def _rows_inside(content: Mapping[str, Any]) -> Any:
    """The only list of dictionaries of a mapping without lists of numbers: its rows."""
    lists = [value for value in content.values() if isinstance(value, list) and value]
    rows = [value for value in lists if all(isinstance(row, Mapping) for row in value)]
    return rows[0] if len(rows) == len(lists) == 1 else content


def _oriented(content: Any) -> Any:
    """Pandas' ways to write a frame: split, index and columns become rows or lists."""
    if not isinstance(content, Mapping):
        return content
    if isinstance(content.get("columns"), list) and isinstance(content.get("data"), list):
        names, rows = [str(name) for name in content["columns"]], content["data"]
        return [dict(zip(names, row, strict=False)) for row in rows if isinstance(row, list)]
    values = list(content.values())
    if not values or not all(isinstance(value, Mapping) for value in values):
        return content
    if all(_is_index(value) for value in values):
        order = {key: i for i, key in enumerate(dict.fromkeys(k for v in values for k in v))}
        return {name: [column.get(key) for key in order] for name, column in content.items()}
    if _are_counted(content) and all(_holds_numbers(value) for value in values):
        return values
    return content


def _unnamed(row: list[Any]) -> list[str]:
    """Names for rows without names: those of TensorBoard's export, or 1, 2, 3, …."""
    seconds = number(row[0]) if row and not isinstance(row[0], list | dict) else None
    if len(row) == 3 and seconds is not None and seconds > 1e8:
        return ["Wall time", "Step", "Value"]
    return [str(i + 1) for i in range(len(row))]


def _is_index(mapping: Mapping[str, Any]) -> bool:
    return bool(mapping) and all(str(key).lstrip("-").isdigit() for key in mapping)


def _are_counted(mapping: Mapping[str, Any]) -> bool:
    """Whether the keys are ``0, 1, 2`` or ``epoch_1, epoch_2``."""
    stems = {str(key).rstrip("0123456789") for key in mapping}
    return len(stems) == 1 and all(str(key)[-1:].isdigit() for key in mapping)


def _holds_numbers(row: Mapping[str, Any]) -> bool:
    return all(not isinstance(value, list | dict) for value in row.values())


def _flat_row(row: Mapping[str, Any]) -> dict[str, Cell]:
    return {
        name: value
        for name, value in _leaves(row)
        if isinstance(value, int | float | str) and not isinstance(value, bool)
    }


def _leaves(content: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[Any]:
    for key, value in content.items():
        name = f"{prefix}{key}"
        if hasattr(value, "tolist"):  # an array or a number of NumPy
            value = value.tolist()
        elif isinstance(value, tuple):
            value = list(value)
        if isinstance(value, Mapping) and depth < _DEEPEST:
            yield from _leaves(value, f"{name}/", depth + 1)
        else:
            yield name, value


def _of_lists(content: Mapping[str, Any]) -> Table:
    """Lists of equal or unequal length; a bare number beside them is a point at the end."""
    columns: dict[str, Column] = {}
    texts: dict[str, list[str | None]] = {}
    axes: dict[str, np.ndarray] = {}
    leaves = list(_leaves(content))
    longest = max([1, *(len(v) for _, v in leaves if isinstance(v, list))])
    if longest > MAX_ROWS:
        raise DataError(too_many(longest))
    for name, value in leaves[:MAX_COLUMNS]:
        if isinstance(value, list):
            column, axis = _of_list(value)
            if axis is not None:
                axes[name] = axis
        elif is_axis(name) or number(value) is None:
            continue
        else:
            column = Column(np.array([longest - 1]), column_of([value]).values)
        if len(column.values):
            columns[name] = column
        elif isinstance(value, list) and value and all(isinstance(x, str) for x in value):
            texts[name] = [*value, *[None] * (longest - len(value))]
    if axes:
        return _on_their_axes(columns, axes)
    if not any(isinstance(value, list) for _, value in leaves) and not columns:
        raise DataError(
            "it holds no list of numbers. Give a dictionary of lists, one number for each epoch."
        )
    lengths = {len(value) for name, value in leaves if name in columns and isinstance(value, list)}
    return Table(columns, longest, "lists", texts, independent=len(lengths) > 1)


def _of_list(values: list[Any]) -> tuple[Column, np.ndarray | None]:
    """The numbers of a list; of pairs ``[step, value]`` the steps too."""
    pairs = [v for v in values if isinstance(v, list) and len(v) in (2, 3)]
    if values and len(pairs) == len(values):
        steps, numbers = column_of([v[-2] for v in values]), column_of([v[-1] for v in values])
        if len(steps.values) == len(numbers.values) == len(values):
            return numbers, steps.values
    cells = [v if not isinstance(v, list | dict) else None for v in values]
    return column_of(cells), None


def _on_their_axes(columns: Mapping[str, Column], axes: Mapping[str, np.ndarray]) -> Table:
    steps = np.unique(np.concatenate(list(axes.values())))
    placed = {}
    for name, axis in axes.items():
        rows, first = np.unique(np.searchsorted(steps, axis), return_index=True)
        placed[name] = Column(rows, columns[name].values[first])
    return Table({"step": Column(np.arange(len(steps)), steps), **placed}, len(steps), "lists")


# --- lines, and dictionaries as Python prints them ------------------------------------------------


def _lines(text: str) -> Table | None:
    """JSON lines. Lines of other words are left out while they are fewer."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    rows = []
    for line in lines:
        if line[0] != "{":
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            rows.append(_flat_row(row))
    if len(rows) < max(0.5 * len(lines), 1) or (len(lines) == 1 and len(rows) != 1):
        return None
    return table_of_rows(rows)


def _assigned(text: str) -> Table | None:
    """``history = {…}`` on a line of its own, as in a notebook."""
    found = re.match(r"\s*[\w.]+\s*=\s*(?=[{\[])", text) or re.match(r"\s*defaultdict\([^{]*", text)
    if not found:
        return None
    inner = (
        text[found.end() :].strip().removesuffix(")") if "(" in found[0] else text[found.end() :]
    )
    return _printed(inner, "")


def _printed(text: str, reason: str) -> Table | None:
    """``str(history.history)``: a dictionary with single quotes, as Python prints it.

    It is translated into JSON, never evaluated. None for rows of such dictionaries: the console
    reads them.
    """
    stripped = text.strip()
    if stripped.startswith("{") and re.search(r"}\s*\n", stripped):
        return None
    plain = _WRAPPED_NUMBER.sub(r"\1", _WRAPPED_LIST.sub(r"\1", stripped))
    try:
        content = json.loads(_PYTHON.sub(_translated, plain))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"it is not valid JSON ({reason or error}). "
            'Write it with json.dump(history, open("history.json", "w")).'
        ) from error
    return table_of(content)


def _translated(found: re.Match[str]) -> str:
    single, double, word, bracket = found.groups()
    if single is not None or double is not None:
        text = single if single is not None else double
        return json.dumps(re.sub(r"\\(.)", r"\1", text))
    if word:
        return _WORDS[word]
    return {"(": "[", ")": "]"}.get(bracket, "")
