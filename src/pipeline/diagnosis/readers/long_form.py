"""Tables with one row for each number, or for each part of the data → one column for each curve."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.diagnosis.readers.columns import Column, Table
from pipeline.diagnosis.readers.names import has_part, is_axis, is_known, part_of, plain
from pipeline.errors import DataError

_METRIC = ("metric", "key", "tag", "variable", "metricname", "name")
_PART = ("phase", "split", "part", "subset", "mode", "stage", "dataset", "set")
_RUN = ("runid", "runuuid", "run")
_TAG = re.compile(r"^(?:run-(?P<run>.*?)-)?tag-(?P<tag>.+?)(?: ?\(\d+\))?$")


def in_wide_form(table: Table) -> Table:
    """Give each curve a column of its own, where words in a column say which curve a row is of.

    ``metric,step,value`` (MLflow), or ``epoch,phase,loss`` with the phases train and val.
    Raises `DataError` where the rows are of several runs.
    """
    value = next((name for name in table.columns if plain(name) == "value"), None)
    metric = _words_in(table, _METRIC)
    if value and metric:
        _check_one_run(table)
        return _by_metric(table, metric, table.columns[value])
    phase = _words_in(table, _PART)
    if phase and all(part_of(word) for word in table.texts[phase] if word):
        return _by_part(table, table.texts[phase])
    return table


def _words_in(table: Table, names: Sequence[str]) -> str | None:
    return next((n for wanted in names for n in table.texts if plain(n) == wanted), None)


def _check_one_run(table: Table) -> None:
    for wanted in _RUN:
        runs = {
            word
            for name, words in table.texts.items()
            if plain(name) == wanted
            for word in words
            if word
        }
        if len(runs) > 1:
            listed = ", ".join(sorted(runs)[:6])
            raise DataError(f"it holds {len(runs)} runs ({listed}). Give the rows of one.")


def _by_metric(table: Table, metric: str, values: Column) -> Table:
    axes = {name: column for name, column in table.columns.items() if is_axis(name)}
    labels = np.array([word or "" for word in table.texts[metric]])
    names = list(dict.fromkeys(label for label in labels.tolist() if label))
    columns = {name: _rows_where(values, labels == name) for name in names}
    return replace(table, columns={**axes, **columns}, texts={})


def _by_part(table: Table, words: Sequence[str | None]) -> Table:
    parts = np.array([part_of(word) or "" if word else "" for word in words])
    columns: dict[str, Column] = {}
    for name, column in table.columns.items():
        if is_axis(name) or not is_known(name) or has_part(name):
            columns[name] = column
            continue
        for part in ("train", "val"):
            columns[f"{part}/{name}"] = _rows_where(column, parts == part)
    there = {name: column for name, column in columns.items() if len(column.rows)}
    return replace(table, columns=there)


def _rows_where(column: Column, mask: np.ndarray) -> Column:
    inside = mask[column.rows]
    return replace(column, rows=column.rows[inside], values=column.values[inside])


def named_after_file(table: Table, path: Path) -> Table:
    """Name the values of TensorBoard's CSV export after the tag in its file's name.

    ``run-train-tag-epoch_loss.csv`` with the columns Wall time, Step and Value is train/epoch_loss.
    """
    by_name: Mapping[str, str] = {plain(name): name for name in table.columns}
    if not {"walltime", "step", "value"} <= set(by_name):
        return table
    columns = {"step": table.columns[by_name["step"]]}
    columns[_tag(path)] = table.columns[by_name["value"]]
    return replace(table, columns=columns, texts={})


def _tag(path: Path) -> str:
    found = _TAG.match(path.stem)
    if not found:
        return path.stem if is_known(path.stem) else "Value"
    tag = found["tag"]
    words = re.split(r"[^A-Za-z]+", found["run"] or "")
    part = next((word for word in reversed(words) if word and part_of(word)), None)
    return tag if has_part(tag) or not part else f"{part}/{tag}"
