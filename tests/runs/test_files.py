"""The files of a run: read as they were written, and complete or recognizably not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import DataError
from pipeline.evaluation.tables import write_history_csv
from pipeline.records import SignalRecord
from pipeline.runs import files as module
from pipeline.runs.files import RunFiles
from written_runs import gradient_signals, history_rows

VALUES = {"name": "mlp", "data": {"name": "mnist"}, "optimizer": {"eps": 1e-08, "betas": [0.9]}}
SIGNALS = gradient_signals([[1.0, 2.0]], [10, 20])


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    return RunFiles(tmp_path, "mlp")


def test_measurements_come_back_as_they_were_written(files: RunFiles) -> None:
    rows = history_rows(0.1 + 0.2, 1e-300)
    files.write_measured(VALUES, rows, SIGNALS)
    assert files.read_history() == rows
    assert files.read_config() == VALUES
    signals = files.read_signals()
    assert isinstance(signals, SignalRecord)
    assert signals.arrays["layers/gradient_norm"].tolist() == [[1.0, 2.0]]


def test_the_configuration_is_missing_where_writing_was_interrupted(
    files: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write_measured(VALUES, history_rows(1.0), SIGNALS)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_signals", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write_measured(VALUES, history_rows(2.0), SIGNALS)
    assert files.read_config() == {}


def test_the_written_paths_are_those_of_the_results(files: RunFiles, tmp_path: Path) -> None:
    paths = files.write_measured(VALUES, history_rows(1.0), SIGNALS)
    folder = tmp_path / "results" / "mlp"
    assert sorted(paths) == sorted(folder.iterdir())


def test_times_stand_apart_so_that_equal_trainings_leave_equal_files(files: RunFiles) -> None:
    rows = history_rows(1.0, 0.5)
    files.write_measured(VALUES, rows, SIGNALS)
    first = {path.name: path.read_bytes() for path in files.results.iterdir()}
    slower = [replace(row, metrics={**row.metrics, "time/epoch_s": 9.0}) for row in rows]
    files.write_measured(VALUES, slower, SIGNALS)
    assert files.read_history() == slower
    second = {path.name: path.read_bytes() for path in files.results.iterdir()}
    assert {name for name in first if first[name] != second[name]} == {"times.json"}


@pytest.mark.parametrize("case", ["missing", "damaged", "of_another_run"])
def test_a_history_is_read_without_times_that_are_not_its_own(case: str, files: RunFiles) -> None:
    files.write_measured(VALUES, history_rows(1.0), SIGNALS)
    times = files.results / "times.json"
    of_another_run = times.read_bytes()
    files.write_measured(VALUES, history_rows(2.0), SIGNALS)
    if case == "missing":
        times.unlink()
    else:
        times.write_bytes(b"{" if case == "damaged" else of_another_run)
    (row,) = files.read_history()
    assert row.metrics["val/loss"] == 2.0 and "time/epoch_s" not in row.metrics


def test_a_history_of_an_earlier_version_holds_its_times(files: RunFiles) -> None:
    write_history_csv(files.results / "history.csv", history_rows(1.0))
    assert files.read_history() == history_rows(1.0)


def test_a_run_without_files_has_no_signals_no_configuration_and_no_model(files: RunFiles) -> None:
    assert files.read_signals() is None
    assert files.read_config() == {}
    assert files.read_description() is None


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"data": 1}'])
def test_a_damaged_configuration_is_an_error_with_a_way_out(files: RunFiles, text: str) -> None:
    files.results.mkdir(parents=True)
    (files.results / "config.json").write_text(text)
    with pytest.raises(DataError, match="Train it again: pipeline train name=mlp"):
        files.read_config()
