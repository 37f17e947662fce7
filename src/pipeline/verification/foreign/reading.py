"""The number of a run: on its output, in a JSON, CSV or text file, or in a store of MLflow."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.errors import CommandError

_NUMBER = r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|nan|inf(?:inity)?)(?![\w.]*\w)"
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_TABLES, _OBJECTS, _STORES = (".csv", ".tsv"), (".json", ".jsonl"), (".db", ".sqlite")
FILE_KINDS = (*_TABLES, *_OBJECTS, *_STORES)
MOST_BYTES = 100_000_000


@dataclass(frozen=True)
class Found:
    """A number, and where it stood."""

    value: float
    source: str


def read_number(metric: str, *, output: str, files: Sequence[Path], since: float) -> Found:
    """Return the last value of a metric: from a file that holds it, else from the output.

    output: of the run.  since: time at which it began, in seconds; older runs of a store are left.
    Raises `CommandError` where there is no number, or one that is not finite.
    """
    held, faults = {}, []
    for name, file in _named(files).items():
        try:
            held[name] = _in_file(metric, file, since)
        except CommandError as error:  # of any file that the command writes; another may hold it
            faults.append(f"{name} {error}")
    found = [Found(value, name) for name, value in held.items() if value is not None]
    if len({each.value for each in found}) > 1:
        listed = ", ".join(each.source for each in found)
        raise CommandError(f"{metric} stands in several files ({listed}). Name one: metric_file=")
    if found:
        return _finite(found[0], metric)
    value = number_in_text(metric, output)
    if value is None:
        looked = ", ".join(["its output", *held])
        text = f"it gave no number: there is no {metric}=<number> in {looked}"
        raise CommandError("; ".join([text, *faults]))
    return _finite(Found(value, "its output"), metric)


def _named(files: Sequence[Path]) -> dict[str, Path]:
    """Return the files by their names; by their paths below one folder where names are equal."""
    if len({file.name for file in files}) == len(files):
        return {file.name: file for file in files}
    folder = os.path.commonpath([file.parent for file in files])
    return {str(file.relative_to(folder)): file for file in files}


def is_store(file: Path) -> bool:
    """Whether a file is a database of MLflow, by its name."""
    return file.suffix in _STORES


def _finite(found: Found, metric: str) -> Found:
    if not math.isfinite(found.value):
        raise CommandError(f"{metric} is {found.value} in {found.source}, which is no number")
    return found


def number_in_text(metric: str, text: str) -> float | None:
    """Return the last ``metric=1.5``, ``metric: 1.5`` or ``metric 1.5``, else a bare last line.

    Raises `CommandError` for ``metric: 1,234``, which may be a thousand or a decimal.
    """
    plain = _COLOURS.sub("", text)
    wanted = rf"(?<![\w/.\-]){re.escape(metric)}[\"']?[ \t=:│|]+({_NUMBER})(,\d+)?"
    matches = re.findall(wanted, plain, re.IGNORECASE)
    if matches:
        number, rest = matches[-1]
        if rest and number.lstrip("+-").isdigit():
            raise CommandError(
                f"{metric} is written with a comma: {number}{rest}. Write thousands without a "
                "sign between them, and decimals with a point"
            )
        return float(number)
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    bare = re.fullmatch(_NUMBER, lines[-1], re.IGNORECASE) if lines else None
    return float(bare[0]) if bare else None


def _in_file(metric: str, file: Path, since: float) -> float | None:
    """Return the last value of a metric in a file. Raises `CommandError` for an unreadable one."""
    if is_store(file):
        return _in_store(metric, file, since)
    if file.stat().st_size > MOST_BYTES:
        raise CommandError(f"has more than {MOST_BYTES // 1_000_000} MB")
    text = file.read_text(encoding="utf-8-sig", errors="replace")  # Excel's files begin with a mark
    try:
        if file.suffix in _OBJECTS:
            return _last(_in_json(metric, text))
        return _in_table(metric, text) if file.suffix in _TABLES else number_in_text(metric, text)
    except (csv.Error, RecursionError) as error:  # a very long cell, a very deep object
        raise CommandError(f"cannot be read ({error})") from error


def _in_json(metric: str, text: str) -> Iterator[float]:
    try:
        yield from _values(metric, json.loads(text))
    except ValueError:
        for line in text.splitlines():  # one object a line; a line that is cut counts for nothing
            with contextlib.suppress(ValueError):
                yield from _values(metric, json.loads(line))


def _values(metric: str, item: Any, path: str = "") -> Iterator[float]:
    """Yield what stands under a key, or under a path of keys such as ``val.loss``."""
    if isinstance(item, list):
        for each in item:
            yield from _values(metric, each, path)
    if not isinstance(item, dict):
        return
    for key, value in item.items():
        here = f"{path}{key}"
        if metric in (key, here, here.replace(".", "/")):
            yield from _numbers(value)
        else:
            yield from _values(metric, value, f"{here}.")


def _numbers(value: Any) -> Iterator[float]:
    for each in value if isinstance(value, list) else [value]:
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            yield math.nan if each is None else float(each)


def _in_table(metric: str, text: str) -> float | None:
    header = text.partition("\n")[0]
    separator = max(",;\t", key=header.count)
    rows = csv.DictReader(io.StringIO(text), delimiter=separator)
    return _last(
        float(cell)
        for row in rows
        for name, cell in row.items()
        if isinstance(name, str) and name.strip() == metric and _is_number(cell)
    )


def _is_number(cell: Any) -> bool:
    return isinstance(cell, str) and bool(re.fullmatch(_NUMBER, cell.strip(), re.IGNORECASE))


def _last(values: Iterator[float]) -> float | None:
    return next(iter([*values][-1:]), None)


def _in_store(metric: str, file: Path, since: float) -> float | None:
    """Return the last value of the newest run that began after ``since``: MLflow's own tables."""
    query = (
        "select value, is_nan from metrics join runs using (run_uuid) "
        "where key = ? and start_time >= ? order by start_time desc, step desc, timestamp desc"
    )
    address = f"file:{quote(str(file))}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True)) as store:
            row = store.execute(query, (metric, int(since * 1000))).fetchone()
    except sqlite3.Error as error:
        raise CommandError(f"is no store of MLflow ({error})") from error
    return None if row is None else math.nan if row[1] else float(row[0])
