"""The files of a run: measurements in ``results/<name>/``, the model in ``models/<name>/``."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import DataError
from pipeline.evaluation.model_description import DESCRIPTION, ModelDescription, read_description
from pipeline.evaluation.signal_file import FILE_NAME as SIGNALS_FILE
from pipeline.evaluation.signal_file import read_signals, write_signals
from pipeline.evaluation.tables import read_history_csv, write_history_csv
from pipeline.files import (
    Number,
    read_bytes,
    read_record,
    sealed,
    unsealed,
    write_atomically,
    write_record,
)
from pipeline.records import EpochRecord, Prepared, SignalRecord
from pipeline.runs.provenance import data_sha256

if TYPE_CHECKING:  # reading a run loads no torch
    from pipeline.runs.train_once import TrainedRun

HISTORY_FILE, CONFIG_FILE, TIMES_FILE = "history.csv", "config.json", "times.json"
_OF_TIME = "time/"
FILES = "files"  # the key of config.json that maps each measured file to its hash


@dataclass(frozen=True)
class RecordedSettings:
    """What ``config.json`` holds.

    values: the resolved configuration.  sha256: name → hash of the files that were measured in the
    same run; empty for a run of an earlier version.
    """

    values: Mapping[str, Any]
    sha256: Mapping[str, str]


def read_settings(path: Path, *, way_out: str) -> RecordedSettings:
    """Read a run's ``config.json``. Raises `DataError` where it is missing or damaged."""
    content = read_bytes(path, way_out=way_out)
    text = unsealed(content, path, way_out=way_out)
    try:
        values = dict(json.loads(text))
        str(values["data"]["name"])
        files = values.pop(FILES, None)
        sha256 = {str(name): str(digest) for name, digest in dict(files or {}).items()}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a run's configuration ({error!r}). {way_out}") from error
    if files is not None and text is content:  # a file with hashes has its own too
        raise DataError(f"{path}: its own hash is damaged. {way_out}")
    return RecordedSettings(values, sha256)


@dataclass(frozen=True)
class Times:
    """The record ``times.json``: what each epoch of a run took, on one machine at one time.

    It stands apart, so that equal trainings leave equal files.
    history_sha256: of the ``history.csv`` of the same run.  numbers: name → one number an epoch.
    resumed_from_epoch: epochs that a killed process had trained, mostly 0.
    """

    history_sha256: str
    numbers: Mapping[str, tuple[Number, ...]]
    resumed_from_epoch: int = 0


@dataclass(frozen=True)
class RunFiles:
    """The places of one run's files, and their writing and reading.

    root: the project, or the folder of a job of a multirun.  name: of the model.
    """

    root: Path
    name: str

    @property
    def results(self) -> Path:
        """``results/<name>``: history, signals, configuration, pictures."""
        return self.root / "results" / self.name

    @property
    def model(self) -> Path:
        """``models/<name>``: weights and their description."""
        return self.root / "models" / self.name

    def write_measured(
        self,
        values: Mapping[str, Any],
        history: Sequence[EpochRecord],
        signals: SignalRecord,
        *,
        resumed_from_epoch: int = 0,
    ) -> list[Path]:
        """Write what was measured, and the resolved configuration ``values``; return the paths.

        resumed_from_epoch: epochs that a killed process had trained.
        A run that diverged or was stopped leaves these files too: its diagnosis needs them.
        The configuration is written last. Where it exists, the other files are of the same run.
        """
        names = (HISTORY_FILE, SIGNALS_FILE, TIMES_FILE, CONFIG_FILE)
        table, arrays, times, config = (self.results / name for name in names)
        config.unlink(missing_ok=True)
        write_history_csv(table, [_part(row, of_time=False) for row in history])
        took = _times(history, history_sha256=_sha256(table), resumed_from_epoch=resumed_from_epoch)
        write_record(times, took)
        # Also without signals: those of an earlier run would be taken for this run's.
        write_signals(arrays, signals)
        hashes = {path.name: _sha256(path) for path in (table, arrays)}
        write_atomically(config, sealed(json.dumps({**values, FILES: hashes}, indent=2) + "\n"))
        return [table, arrays, times, config]

    def write_model(self, run: TrainedRun, values: Mapping[str, Any], data: Prepared) -> str:
        """Write weights, description and familiarity; return the SHA-256 of the weights' file."""
        from pipeline.models.saved import save_model
        from pipeline.runs.familiarity import measure_familiarity

        card = data.card
        description = ModelDescription(
            class_names=tuple(card.class_names),
            data_sha256=data_sha256(card),
            input_shape=card.image_shape,
            mean=tuple(card.mean),
            settings=values,
            std=tuple(card.std),
            summary=run.summary,
            columns=card.columns,
        )
        familiarity = measure_familiarity(run.network, data)
        return save_model(self.model, run.network, description, familiarity=familiarity)

    def read_history(self) -> list[EpochRecord]:
        """Return the records of all epochs, with their times where those are here.

        Raises `DataError` without a valid file, and for one that the run has not written.
        """
        path = self.results / HISTORY_FILE
        rows = read_history_csv(path, sha256=self._settings().sha256.get(HISTORY_FILE))
        return _with_times(rows, self._times(history_sha256=_sha256(path)))

    def _times(self, *, history_sha256: str) -> Times | None:
        """Return the times of this run; None where they are missing, damaged, or of another."""
        try:
            times = read_record(self.results / TIMES_FILE, Times, way_out="")
        except DataError:
            return None
        return times if times.history_sha256 == history_sha256 else None

    def read_signals(self) -> SignalRecord | None:
        """Return the signals, or None without the file.

        Raises `DataError` for a damaged file, and where the run has written one that is not there.
        """
        path, sha256 = self.results / SIGNALS_FILE, self._settings().sha256.get(SIGNALS_FILE)
        return read_signals(path, sha256=sha256) if sha256 or path.is_file() else None

    def read_config(self) -> Mapping[str, Any]:
        """Return the resolved configuration of the run; empty without the file.

        Raises `DataError` for a damaged file.
        """
        return self._settings().values

    def _settings(self) -> RecordedSettings:
        path = self.results / CONFIG_FILE
        if not path.is_file():
            return RecordedSettings({}, {})
        return read_settings(path, way_out=f"Train it again: pipeline train name={self.name}")

    def read_description(self) -> ModelDescription | None:
        """Return the description of the model, or None without one.

        Raises `DataError` for a damaged file.
        """
        return read_description(self.model) if (self.model / DESCRIPTION).is_file() else None


def _part(row: EpochRecord, *, of_time: bool) -> EpochRecord:
    metrics = {k: v for k, v in row.metrics.items() if k.startswith(_OF_TIME) is of_time}
    return replace(row, metrics=metrics)


def _times(
    history: Sequence[EpochRecord], *, history_sha256: str, resumed_from_epoch: int
) -> Times:
    rows = [_part(row, of_time=True).metrics for row in history]
    names = sorted({name for row in rows for name in row})
    numbers = {name: tuple(row.get(name, math.nan) for row in rows) for name in names}
    return Times(history_sha256, numbers, resumed_from_epoch)


def _with_times(rows: list[EpochRecord], times: Times | None) -> list[EpochRecord]:
    if times is None:
        return rows
    return [
        replace(row, metrics={**row.metrics, **{k: v[i] for k, v in times.numbers.items()}})
        for i, row in enumerate(rows)
    ]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
