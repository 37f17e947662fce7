"""Cells as people write them → numbers: percent signs, decimal commas, thousands, ``1/12``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from numbers import Real

import numpy as np

Cell = str | int | float | None

# Words that stand for "no number". "nan" is none of them: a loss that is not a number is a value.
MISSING = frozenset(
    {
        *("", "-", "--", "---", "—", "n/a", "na", "#n/a", "<na>", "none", "null", "nil", "?"),
        *("...", "no log"),
    }
)
_COMMA = re.compile(r"^[+-]?[\d.]*,\d+(?:[eE][+-]?\d+)?$")
_THOUSANDS = re.compile(r"^[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?$")
_GROUPS = re.compile(r"(?<=\d)[ \u00a0\u202f'’_](?=\d{3}(?:\D|$))")
_WRAPPED = re.compile(r"^[A-Za-z_.]*\d*\(\s*([^\s,()]+)[^()]*\)$")
_COUNTED = re.compile(r"^\D*?(\d+(?:\.\d+)?)\s*(?:/|of)\s*\d+\D*$")


def numbers_of(
    cells: Sequence[Cell], *, decimal_comma: bool = False
) -> tuple[np.ndarray, np.ndarray, tuple[int, str] | None]:
    """Return the numbers of a column, a mask of the cells that have one, and the first bad cell.

    The result: ``[M]`` float64, ``[N]`` bool with M of them True, and (index, cell) or None.
    """
    try:
        values = np.array([float(cell) for cell in cells])  # type: ignore[arg-type]
        if not any(isinstance(cell, bool) for cell in cells):
            return values, np.ones(len(cells), dtype=bool), None
    except (ValueError, TypeError, OverflowError):
        pass
    comma = decimal_comma or has_decimal_comma(cells)
    found = [number(cell, decimal_comma=comma) for cell in cells]
    there = np.array([value is not None for value in found], dtype=bool)
    numbers = np.array([value for value in found if value is not None], dtype=np.float64)
    bad = next(((i, str(c)) for i, c in enumerate(cells) if found[i] is None and is_bad(c)), None)
    return numbers, there, bad


def number(cell: Cell, *, decimal_comma: bool = False) -> float | None:
    """Return the number of a cell; None for an empty one and for one that is no number.

    ``50%`` is 0.5, ``1,234.5`` is 1234.5, ``tensor(0.5)`` is 0.5, and ``3/12`` is 3. With
    decimal commas ``1.234,5`` is 1234.5.
    """
    if cell is None or isinstance(cell, bool):
        return None
    if not isinstance(cell, str):
        return _float(cell) if isinstance(cell, Real) else None
    text = cell.strip().strip("'\"").strip()
    if decimal_comma and "," in text:
        text = text.replace(".", "").replace(",", ".")
    plain = _float(text)
    if plain is not None or text.lower() in MISSING:
        return plain
    if text.endswith("%"):
        share = number(text[:-1])
        return None if share is None else share / 100
    return _dressed(text)


def _dressed(text: str) -> float | None:
    if _THOUSANDS.match(text):
        return _float(text.replace(",", ""))
    if len(text) > 60:
        return None
    for pattern in (_WRAPPED, _COUNTED):
        inner = pattern.match(text)
        if inner:
            return _float(inner[1])
    grouped = _GROUPS.sub("", text)
    return _float(grouped) if grouped != text else None


def _float(value: str | int | float) -> float | None:
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def is_bad(cell: Cell) -> bool:
    """Whether a cell holds something that is neither a number nor a word for "nothing"."""
    if isinstance(cell, bool):
        return True
    return isinstance(cell, str) and cell.strip().strip("'\"").strip().lower() not in MISSING


def has_decimal_comma(cells: Sequence[Cell]) -> bool:
    """Whether a comma separates decimals: ``0,95``, but not ``1,234``, which may be a thousand."""
    commas = [
        c.strip() for c in cells if isinstance(c, str) and "," in c and _COMMA.match(c.strip())
    ]
    return any(not _THOUSANDS.match(text) or text.lstrip("+-").startswith("0") for text in commas)
