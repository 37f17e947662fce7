"""Text of a table → columns: commas, semicolons, tabs, bars or aligned spaces."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.diagnosis.readers.cells import has_decimal_comma, number
from pipeline.diagnosis.readers.columns import MAX_ROWS, Table, table_of_cells, too_many
from pipeline.diagnosis.readers.names import is_known
from pipeline.errors import DataError

_RULE = re.compile(r"^[\s\-+=|:]+$")
_COMMENT = re.compile(r"^(?:#|//|%)\s*")
_SPACES = re.compile(r"\s{2,}")
_ONE_COMMA = re.compile(r"^[+-]?[1-9]\d{0,2},\d{3}$")
_LONGEST_CELL = 50  # lines in one cell in quotes
SEARCHED = 400  # lines in which the header is looked for

Split = Callable[[str], list[str]]


@dataclass(frozen=True)
class _Header:
    """The names of a table, how a line is split, and the line after them."""

    names: list[str]
    split: Split
    begin: int
    separator: str


def read_table(text: str) -> Table | None:
    """Read a table with a header, or columns of numbers without one; None for any other text.

    Blank lines, comments, rules, a repeated header, empty last cells and rows, and lines without
    a number are left out. Raises `DataError` for too many rows, and for rows that fit no header.
    """
    lines = _whole(line for line in text.split("\n") if line.strip() and not _RULE.match(line))
    if len(lines) > MAX_ROWS:
        raise DataError(too_many(len(lines)))
    header = _header(lines)
    if header is None and (begin := _later_header(lines)) is not None:
        try:
            return read_table("\n".join(lines[begin:]))
        except DataError:  # other lines stand below it: it is the output of a training
            return None
    if header is None:
        if len(lines) == 1 and sum(is_known(name) for name in re.split(r"[,;\t|]", lines[0])):
            raise DataError("it has a header and no row. Give one line for each epoch.")
        return None
    rows, restarts, last = _rows(lines, header)
    rows, fitted, notes = _fitted(rows, last)
    if last is not header:
        notes = (*notes, "of several tables the last is read")
    if not rows:
        return None
    cells = {name: [row[i] for row in rows] for i, name in enumerate(fitted.names) if name}
    comma = fitted.separator != "," and any(has_decimal_comma(column) for column in cells.values())
    if fitted.separator != "," and not comma and (found := _unclear(cells)):
        notes = (*notes, found)
    table = table_of_cells(cells, num_rows=len(rows), kind="table", decimal_comma=comma)
    return replace(table, restarts=restarts, notes=notes)


def _unclear(cells: Mapping[str, Sequence[str]]) -> str:
    """Tell where every ``1,234`` may be a thousand or a decimal: nothing in the table decides."""
    if any("." in cell and _is_number(cell) for column in cells.values() for cell in column):
        return ""
    for name, column in cells.items():
        filled = [cell.strip() for cell in column if cell.strip()]
        if filled and all(map(_ONE_COMMA.match, filled)):
            first = filled[0]
            return (
                f"{first} in {name} is read as {first.replace(',', '')}: write "
                f"{first.replace(',', '.')} if the comma stands before decimals"
            )
    return ""


def _whole(lines: Iterable[str]) -> list[str]:
    """Join the lines of a cell in quotes that holds line ends."""
    whole: list[str] = []
    is_open = 0
    for line in lines:
        if is_open:
            whole[-1] += f" {line}"
        else:
            whole.append(line)
        odd = line.count('"') % 2 == 1
        is_open = (0 if is_open else _LONGEST_CELL) if odd else max(is_open - 1, 0)
    return whole


# --- the header -----------------------------------------------------------------------------------


def _header(lines: Sequence[str]) -> _Header | None:
    """The first line of known names with numbers below it; else a first line of other words."""
    begin = min(len(lines), SEARCHED)
    known = (
        found for i in range(begin) if (found := _header_at(lines, i)) and _names_a_curve(found)
    )
    return next(known, None) or _plain_header(lines)


def _plain_header(lines: Sequence[str]) -> _Header | None:
    data = [i for i, line in enumerate(lines[:SEARCHED]) if not _COMMENT.match(line)]
    if not data:
        return None
    return _header_at(lines, data[0]) or _without_header(lines, data[0])


def _later_header(lines: Sequence[str]) -> int | None:
    """The first line of three or more words, none of a curve, with two rows of numbers below it.

    So spaCy's table, ``E  #  LOSS NER  SCORE``, can be read by the names that a person gives.
    """
    for index in range(1, min(len(lines) - 2, SEARCHED)):
        found = _header_at(lines, index)
        if found is None or len(found.names) < 3:
            continue
        rows = [found.split(line) for line in lines[found.begin : found.begin + 2]]
        if all(len(r) == len(found.names) and all(map(_is_number, r)) for r in rows):
            return index
    return None


def _is_number(cell: str) -> bool:
    return number(cell) is not None


def _names_a_curve(header: _Header) -> bool:
    return any(is_known(name) for name in header.names)


def _header_at(lines: Sequence[str], index: int) -> _Header | None:
    """The header at a line, if it has no number and the next line of data has."""
    line = _COMMENT.sub("", lines[index])
    after = next((i for i in range(index + 1, len(lines)) if not _COMMENT.match(lines[i])), None)
    if after is None or re.search(r"[:=]\s*[-+]?[\d.]", line):
        return None
    below = lines[after]
    for separator, split in _splits(line):
        names, cells = [_name(cell) for cell in split(line)], split(below)
        if any(number(name) is not None for name in names if name):
            continue
        if _fits(names, cells, separator):
            return _Header(_distinct(names), split, after, separator)
    return None


def _fits(names: Sequence[str], cells: Sequence[str], separator: str) -> bool:
    filled = [cell for cell in cells if cell.strip()]
    if not any(number(cell) is not None for cell in filled):
        return False
    if separator == " ":
        numeric = sum(number(cell) is not None or ":" in cell for cell in filled)
        return len(cells) in (len(names), len(names) + 1) and numeric >= 0.5 * len(filled)
    return True


def _splits(line: str) -> Iterator[tuple[str, Split]]:
    """How this header may be split, the likeliest first."""
    counted = sorted(",;\t|", key=lambda sign: -line.count(sign))
    for sign in counted:
        if line.count(sign):
            yield sign, _by_sign(sign)
    if _SPACES.search(line.strip()):
        yield " ", lambda text: _SPACES.split(text.strip())
    yield " ", lambda text: text.split()


def _by_sign(sign: str) -> Split:
    def split(line: str) -> list[str]:
        text = line.strip().strip("|") if sign == "|" else line
        if '"' in text:
            return next(csv.reader([text], delimiter=sign))
        return text.split(sign)

    return split


def _without_header(lines: Sequence[str], index: int) -> _Header | None:
    """Columns of bare numbers get the names 1, 2, 3, …; a single one is called loss."""
    for separator, split in _splits(lines[index]):
        cells = split(lines[index])
        if cells and all(number(cell) is not None for cell in cells if cell.strip()):
            names = ["loss"] if len(cells) == 1 else [str(i + 1) for i in range(len(cells))]
            return _Header(names, split, index, separator)
    return None


def _name(cell: str) -> str:
    return cell.strip().strip("'\"*").strip()


def _distinct(names: Sequence[str]) -> list[str]:
    """Give a name that stands twice a number, as pandas does: loss, loss.1."""
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        count = seen.get(name, 0)
        seen[name] = count + 1
        distinct.append(f"{name}.{count}" if count and name else name)
    return distinct


# --- the rows -------------------------------------------------------------------------------------


def _rows(
    lines: Sequence[str], header: _Header
) -> tuple[list[list[str]], tuple[int, ...], _Header]:
    """The cells of each line with a number; where the header stood again; the header.

    Another header in the middle begins a new table: the last table counts.
    """
    rows: list[list[str]] = []
    restarts: list[int] = []
    again = [line.strip() for line in lines[max(header.begin - 1, 0) : header.begin]]
    for index in range(header.begin, len(lines)):
        line = lines[index]
        if line.strip() in again:
            restarts.append(len(rows))
            continue
        if _COMMENT.match(line):
            continue
        try:
            cells = header.split(line)
        except csv.Error as error:
            raise DataError(f"it is no table: {error}.") from error
        if line[:1].isdigit() or any(number(cell) is not None for cell in cells):
            rows.append(cells)
        elif other := _other_header(lines, index, header):
            rows, restarts, header, again = [], [], other, [line.strip()]
    return rows, tuple(r for r in restarts if r < len(rows)), header


def _other_header(lines: Sequence[str], index: int, header: _Header) -> _Header | None:
    found = _header_at(lines, index)
    if found is None or found.separator != header.separator or not _names_a_curve(found):
        return None
    return found


def _fitted(
    rows: Sequence[list[str]], header: _Header
) -> tuple[list[list[str]], _Header, tuple[str, ...]]:
    """Give each row one cell for each name; leave out the few that have more."""
    width, notes = len(header.names), []
    filled = [_cut(row, width) for row in rows]
    if filled and all(len(row) == width + 1 for row in filled):
        header, width = replace(header, names=["", *header.names]), width + 1
    fitting = [row + [""] * (width - len(row)) for row in filled if len(row) <= width]
    odd = len(filled) - len(fitting)
    if odd > max(1, 0.1 * len(filled)) or (odd and not fitting):
        first = next(i for i, row in enumerate(filled) if len(row) > width)
        raise DataError(
            f"row {first + 1} has {len(filled[first])} cells, and the header has {width}. Give "
            "every row one cell for each name. Write 0.95, or separate the cells by semicolons."
        )
    if odd:
        notes.append(f"{odd} {'row has' if odd == 1 else 'rows have'} too many cells: left out")
    return fitting, header, tuple(notes)


def _cut(row: list[str], width: int) -> list[str]:
    """A row without the empty cells beyond the header."""
    end = len(row)
    while end > width and not row[end - 1].strip():
        end -= 1
    return row[:end]
