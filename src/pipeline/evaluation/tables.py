"""``history.csv`` and ``confusion.csv``: records to text and back, bit for bit; ``classes.csv``."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.errors import DataError
from pipeline.evaluation.results import ClassScores
from pipeline.files import read_bytes, write_atomically
from pipeline.records import EpochRecord, Estimate

_EPOCH_COLUMNS = ["epoch", "step"]
_TRUTH = "truth"


def write_history_csv(path: Path, rows: Sequence[EpochRecord]) -> None:
    """Write one line an epoch: ``epoch,step`` and the metrics by name; a missing metric is empty.

    Raises:
        DataError: when a metric is named like a fixed column, or epochs do not increase.
    """
    names = sorted({name for row in rows for name in row.metrics})
    taken = [name for name in names if name in _EPOCH_COLUMNS]
    if taken:
        raise DataError(
            f"A metric is named {taken[0]!r}, but {path} has that column already. Rename it."
        )
    _check_order(path, [row.epoch for row in rows])
    lines = [[str(row.epoch), str(row.step), *_cells(row, names)] for row in rows]
    write_atomically(path, _csv_bytes([[*_EPOCH_COLUMNS, *names], *lines]))


def read_history_csv(path: Path, *, sha256: str | None = None) -> list[EpochRecord]:
    """Read a file of `write_history_csv`; every number comes back bit for bit.

    sha256: the hash that the file must have, where one is known.

    Raises:
        DataError: when the file is missing or is not such a table; the message names the line.
    """
    header, *lines = _read_csv(path, sha256)
    if header[:2] != _EPOCH_COLUMNS or len(set(header)) != len(header):
        raise _malformed(
            path, 1, f"the header is {','.join(header)!r}", "it must be epoch,step,<metrics>"
        )
    rows = [_epoch(path, number, header, cells) for number, cells in enumerate(lines, start=2)]
    _check_order(path, [row.epoch for row in rows])
    return rows


def write_confusion_csv(path: Path, matrix: np.ndarray, *, class_names: Sequence[str]) -> None:
    """Write counts ``[K, K]`` (row = truth, column = prediction) between the class names.

    Raises:
        DataError: when the matrix is not ``[K, K]`` for the K class names.
    """
    if matrix.shape != (len(class_names), len(class_names)):
        raise DataError(
            f"A confusion matrix of shape {list(matrix.shape)} does not fit {len(class_names)} "
            "class names: it must have one row and one column for each. "
            "Pass the names of its own evaluation."
        )
    lines = [[name, *map(str, row)] for name, row in zip(class_names, matrix.tolist(), strict=True)]
    write_atomically(path, _csv_bytes([[_TRUTH, *class_names], *lines]))


def read_confusion_csv(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read counts ``[K, K]`` int64 and the K class names.

    Raises:
        DataError: when the file is missing or is not such a table; the message names the line.
    """
    header, *lines = _read_csv(path)
    names = header[1:]
    if header[0] != _TRUTH or not names:
        raise _malformed(
            path, 1, f"the header is {','.join(header)!r}", "it must be truth,<class names>"
        )
    if [line[0] for line in lines] != names:
        raise _malformed(
            path, 2, "its rows are not named as its columns", "both must be the class names"
        )
    counts = [_counts(path, number, header, cells) for number, cells in enumerate(lines, start=2)]
    return np.array(counts, dtype=np.int64), tuple(names)


def write_classes_csv(path: Path, scores: Sequence[ClassScores]) -> None:
    """Write one line a class: its number of examples, and each share with its interval."""
    shares = ("precision", "recall", "f1")
    head = [f"{share}{end}" for share in shares for end in ("", "_low", "_high")]
    lines = [
        [each.name, str(each.support), *_shares([getattr(each, share) for share in shares])]
        for each in scores
    ]
    write_atomically(path, _csv_bytes([["class", "num_examples", *head], *lines]))


def _shares(estimates: Sequence[Estimate]) -> list[str]:
    return [repr(number) for e in estimates for number in (e.value, e.low, e.high)]


def _cells(row: EpochRecord, names: Sequence[str]) -> list[str]:
    return [repr(float(row.metrics[name])) if name in row.metrics else "" for name in names]


def _csv_bytes(lines: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()


def _read_csv(path: Path, sha256: str | None = None) -> list[list[str]]:
    way_out = "Make it with `pipeline train` and `pipeline evaluate`."
    content = read_bytes(path, way_out=way_out, sha256=sha256)
    try:
        lines = list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _malformed(path, 1, str(error), "the file must be a CSV table in UTF-8") from error
    if not lines or not all(lines):
        raise _malformed(
            path, 1, "there is an empty line or nothing at all", "every line must hold a row"
        )
    return lines


def _epoch(path: Path, number: int, header: list[str], cells: list[str]) -> EpochRecord:
    _check_width(path, number, header, cells)
    try:
        metrics = {
            name: float(cell) for name, cell in zip(header[2:], cells[2:], strict=True) if cell
        }
        return EpochRecord(epoch=int(cells[0]), step=int(cells[1]), metrics=metrics)
    except ValueError as error:
        raise _malformed(
            path, number, str(error), "every cell must be a number, or empty"
        ) from error


def _counts(path: Path, number: int, header: list[str], cells: list[str]) -> list[int]:
    _check_width(path, number, header, cells)
    if not all(cell.isascii() and cell.isdecimal() for cell in cells[1:]):
        raise _malformed(
            path, number, f"the counts are {cells[1:]}", "every count must be a number from 0 up"
        )
    return [int(cell) for cell in cells[1:]]


def _check_width(path: Path, number: int, header: list[str], cells: list[str]) -> None:
    if len(cells) != len(header):
        raise _malformed(
            path, number, f"it has {len(cells)} cells", f"the header asks for {len(header)}"
        )


def _check_order(path: Path, epochs: Sequence[int]) -> None:
    for before, after in itertools.pairwise(epochs):
        if after <= before:
            raise DataError(
                f"In {path} epoch {after} follows epoch {before}, but epochs must increase. "
                "Two runs were mixed: remove the file and train again."
            )


def _malformed(path: Path, number: int, fault: str, rule: str) -> DataError:
    return DataError(
        f"{path}, line {number}: {fault}, but {rule}. Remove the file and make it again."
    )
