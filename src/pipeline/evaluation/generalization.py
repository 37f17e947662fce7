"""Accuracy on images of another kind than the training images, and ``generalization.csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import DataError
from pipeline.files import read_bytes, write_atomically
from pipeline.records import Estimate

_COLUMNS = ("name", "severity", "accuracy", "low", "high", "n")


@dataclass(frozen=True)
class GeneralizationRow:
    """Accuracy on one set of images.

    name: of the data set, or of the corruption.  severity: 1 … 5 of a corruption; 0 is the clean
    test set itself; None is another data set.
    """

    name: str
    severity: int | None
    accuracy: Estimate


def write_generalization_csv(path: Path, rows: Sequence[GeneralizationRow]) -> None:
    """Write one line a row; the severity of another data set is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in rows:
        accuracy = row.accuracy
        severity = "" if row.severity is None else row.severity
        interval = (repr(accuracy.low), repr(accuracy.high))
        writer.writerow([row.name, severity, repr(accuracy.value), *interval, accuracy.n])
    write_atomically(path, text.getvalue().encode())


def read_generalization_csv(path: Path) -> list[GeneralizationRow]:
    """Read the rows that `write_generalization_csv` wrote; every number comes back bit for bit.

    Raises `DataError` for a file that is missing, or is not such a table.
    """
    way_out = f"Make it again: pipeline evaluate name={path.parent.name}"
    try:
        lines = io.StringIO(read_bytes(path, way_out=way_out).decode(), newline="")
        return [_row(cells) for cells in csv.DictReader(lines)]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(
            f"{path}: not a table with the columns {','.join(_COLUMNS)} ({error!r}). {way_out}"
        ) from error


def _row(cells: dict[str, str]) -> GeneralizationRow:
    value, low, high = (float(cells[column]) for column in ("accuracy", "low", "high"))
    return GeneralizationRow(
        name=cells["name"],
        severity=int(cells["severity"]) if cells["severity"] else None,
        accuracy=Estimate(value, low, high, int(cells["n"])),
    )
