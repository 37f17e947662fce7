"""Any file, folder or standard input → a `Reading`: which reader, and what its form means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.diagnosis.history import Context
from pipeline.diagnosis.readers import json_files
from pipeline.diagnosis.readers.columns import Table, merged
from pipeline.diagnosis.readers.console import read_console
from pipeline.diagnosis.readers.dialects import dialect_of
from pipeline.diagnosis.readers.event_files import is_event_file, read_events
from pipeline.diagnosis.readers.folders import Source, find_source
from pipeline.diagnosis.readers.long_form import in_wide_form, named_after_file
from pipeline.diagnosis.readers.names import is_known, part_of
from pipeline.diagnosis.readers.reading import Reading
from pipeline.diagnosis.readers.series import reading_of
from pipeline.diagnosis.readers.source import STDIN, decoded, read_bytes, refuse_binary
from pipeline.diagnosis.readers.table import read_table
from pipeline.errors import DataError


def read_log(
    source: Path | Mapping[str, Any],
    *,
    named: Mapping[str, str] | None = None,
    num_classes: int | None = None,
    num_val: int | None = None,
) -> Reading:
    """Read the curves of any training; docs/histories.md lists what is read.

    source: a file, the folder of a run, ``-`` for standard input, or a mapping of names to lists.
    named: curve → column (``{"train/loss": "my_loss"}``), where names do not tell.
    num_classes, num_val: not in such a file; None where they are not known.
    Raises `DataError` where there are no curves; the message says what was found.

    >>> read_log({"loss": [1.0, 0.5], "val_loss": [1.1, 0.8]}).line
    'read: loss → training loss, val_loss → validation loss; 2 epochs'
    """
    context = Context(num_classes=num_classes, num_val=num_val)
    if isinstance(source, Mapping):
        name = "this history"
        table = _told(name, lambda: json_files.table_of(dict(source)))
    else:
        name = "standard input" if source == STDIN else source.name or str(source)
        table = _of_folder(source) if source.is_dir() else _of_file(source)
    return reading_of(table, context=context, name=name, named=named)


def _of_file(path: Path) -> Table:
    content = read_bytes(path)
    if is_event_file(content):
        return _with_scalars(read_events([content]), path)
    refuse_binary(content, path)
    text = decoded(content, path).replace("\r\n", "\n")
    if not text.strip():
        raise DataError(f"{path}: is empty. Give a file with the curves of a training.")
    return _told(path, lambda: _of_text(text, path))


def _told(name: Path | str, read: Any) -> Table:
    try:
        table: Table = read()
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    return table


def _of_text(text: str, path: Path) -> Table:
    """The first reader that finds a curve; else the first that finds columns at all."""
    first: Table | None = None
    readers = (json_files.read_json, read_table, read_console)
    for read in readers:
        table = read(text if read is read_console else text.replace("\r", "\n"))
        if table is None:
            continue
        table = named_after_file(in_wide_form(table), path)
        aliases = dialect_of(table.columns)
        known = any(is_known(alias) for alias in aliases.aliases.values()) or aliases.sums
        if known or read is json_files.read_json:
            return table
        first = first or table
    if first is None:
        raise DataError(
            "it holds no curves. Give a table with a header and one line for each epoch, JSON, or "
            "the output of a training."
        )
    return first


def _of_folder(folder: Path) -> Table:
    source = find_source(folder)
    if source.kind == "log":
        table = _of_file(source.files[0][1])
    elif source.kind == "export":
        tables = [("", _of_file(path)) for _, path in source.files]
        table = merged([(p, t) for p, t in tables if "step" in t.columns], "step")
    else:
        table = _of_events(source, folder)
    note = source.note if source.kind != "log" else f"{source.note} {source.files[0][1].name}"
    return table.noted(f"of {note.strip()}") if note.strip() else table


def _of_events(source: Source, folder: Path) -> Table:
    contents: dict[str, list[bytes]] = {}
    for prefix, path in source.files:
        contents.setdefault(prefix, []).append(read_bytes(path))
    tables = [(prefix, read_events(listed)) for prefix, listed in contents.items()]
    with_scalars = [(prefix, table) for prefix, table in tables if table.columns]
    if not with_scalars:
        return _with_scalars(Table({}, 0, "events"), folder)
    return merged(((_part(prefix), table) for prefix, table in with_scalars), "step")


def _part(prefix: str) -> str:
    """``validation/`` for a folder ``run_validation/``, so that a tag's name tells its part."""
    words = re.split(r"[^A-Za-z]+", prefix)
    part = next((word for word in words if word and part_of(word)), None)
    return f"{part}/" if part else prefix


def _with_scalars(table: Table, path: Path) -> Table:
    if not table.columns:
        raise DataError(
            f"{path}: holds no event file with scalars. Give the folder of one run, after its "
            "first logged value."
        )
    return table
