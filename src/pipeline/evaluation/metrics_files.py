"""``metrics.json`` with the headline of an evaluation, and ``details.json`` with all other numbers.

The headline is for people: ``dvc metrics show`` prints each number as a column, in the order of the
alphabet, so its names are short. Everywhere else a number has its full name, see `HEADLINE`.
``details.json`` is written last and holds the hash of the headline beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pipeline.errors import DataError
from pipeline.evaluation.results import Metrics
from pipeline.files import Number, read_bytes, read_record, to_json, write_atomically, write_record

Kept = TypeVar("Kept")
METRICS_FILE, DETAILS_FILE = "metrics.json", "details.json"
# Name in ``metrics.json`` → full name, as in MLflow.
HEADLINE: Mapping[str, str] = {
    "acc": "test/accuracy",
    "acc_high": "test/accuracy_high",
    "acc_low": "test/accuracy_low",
    "ece": "test/calibration_error",
    "f1": "test/f1_macro",
    "loss": "test/cross_entropy",
    "n": "test/num_examples",
    "worst": "test/worst_corruption_accuracy",
}


@dataclass(frozen=True)
class Details:
    """The record ``details.json``.

    metrics_sha256: of the ``metrics.json`` that the same evaluation wrote.
    weights_sha256: of the model that was evaluated.
    numbers: every number that is not in ``metrics.json``, by its full name.
    """

    metrics_sha256: str
    weights_sha256: str
    numbers: Mapping[str, Number]


def headline(numbers: Mapping[str, Kept]) -> dict[str, Kept]:
    """Return the headline by full names, without what was not measured."""
    return {name: numbers[name] for name in HEADLINE.values() if name in numbers}


def write_metrics(folder: Path, numbers: Mapping[str, float], *, weights_sha256: str) -> list[Path]:
    """Write the numbers of an evaluation into their two files; return the paths.

    weights_sha256: of the model that was evaluated.
    """
    metrics, details = folder / METRICS_FILE, folder / DETAILS_FILE
    details.unlink(missing_ok=True)
    first = {short: numbers[name] for short, name in HEADLINE.items() if name in numbers}
    content = to_json(Metrics(first)).encode()
    write_atomically(metrics, content)
    rest = {name: numbers[name] for name in sorted(set(numbers) - set(HEADLINE.values()))}
    write_record(details, Details(hashlib.sha256(content).hexdigest(), weights_sha256, rest))
    return [metrics, details]


def read_metrics(folder: Path) -> dict[str, float]:
    """Return every number of an evaluated model by its full name.

    folder: ``results/<name>``.  An earlier version wrote all numbers into ``metrics.json``.
    Raises `DataError` for a file that is missing or damaged, and for files of two evaluations.
    """
    way_out = f"Make it again: pipeline evaluate name={folder.name}"
    metrics, details = folder / METRICS_FILE, folder / DETAILS_FILE
    content = read_bytes(metrics, way_out=way_out)
    kept = read_record(metrics, Metrics, way_out=way_out).root
    if HEADLINE["acc"] in kept and not details.is_file():
        return kept
    rest = read_record(details, Details, way_out=way_out)
    if hashlib.sha256(content).hexdigest() != rest.metrics_sha256:
        raise DataError(f"{metrics}: of another evaluation than {DETAILS_FILE}. {way_out}")
    return {**{HEADLINE[short]: value for short, value in kept.items()}, **rest.numbers}


def metrics_of(weights_sha256: str, folder: Path) -> dict[str, float]:
    """Return the numbers of an evaluation of this very model; empty where there is none.

    An evaluation that was killed or is damaged is none.
    """
    try:
        details = read_record(folder / DETAILS_FILE, Details, way_out="")
        return read_metrics(folder) if details.weights_sha256 == weights_sha256 else {}
    except DataError:
        return {}
