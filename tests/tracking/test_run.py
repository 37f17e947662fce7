"""Writing into a run: whole values, and a broken store that stops nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.tracking.waiting import wait_until

from pipeline.records import EpochRecord
from pipeline.tracking import NoRun, Run, Tracker, shipper
from pipeline.tracking.journal import all_journals
from pipeline.tracking.leftovers import num_open


@pytest.fixture
def run(tracker: Tracker) -> Run:
    return tracker.start("one", tags={})


def runs_of(tracker: Tracker) -> Any:
    (experiment,) = tracker.client.search_experiments(filter_string="name = 'mnist'")
    return tracker.client.search_runs([experiment.experiment_id])


def stored(tracker: Tracker, run: Run) -> Any:
    """End a run, and return what MLflow has of it."""
    run.finish()
    (found,) = runs_of(tracker)
    return found


def test_a_long_parameter_stays_whole(tracker: Tracker, run: Run) -> None:
    run.log_params({"group": {"key": "x" * 3000}})
    assert stored(tracker, run).data.params["group.key"] == "x" * 3000


def test_more_parameters_than_one_call_takes_are_all_recorded(tracker: Tracker, run: Run) -> None:
    run.log_params({f"p{i}": i for i in range(151)})
    assert stored(tracker, run).data.params == {f"p{i}": str(i) for i in range(151)}


def test_more_metrics_and_tags_than_one_call_takes_are_all_recorded(
    tracker: Tracker, run: Run
) -> None:
    run.log_metrics({f"m{i}": i for i in range(1001)})
    run.set_tags({f"t{i}": str(i) for i in range(101)})
    data = stored(tracker, run).data
    assert data.metrics == {f"m{i}": i for i in range(1001)}
    assert {data.tags[f"t{i}"] for i in range(101)} == {str(i) for i in range(101)}


def test_the_step_of_an_epoch_counts_from_1_and_its_number_is_exact(
    tracker: Tracker, run: Run
) -> None:
    run.log_epoch(EpochRecord(epoch=0, step=10, metrics={"val/loss": 0.1 + 0.2}))
    run_id = stored(tracker, run).info.run_id
    (point,) = tracker.client.get_metric_history(run_id, "val/loss")
    assert (point.step, point.value) == (1, 0.30000000000000004)


def test_a_write_that_mlflow_refuses_is_told_and_takes_no_other_along(
    tracker: Tracker, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run.log_metrics({"good": 1.0, "bad?name": 2.0})
    run.log_metrics({"after": 3.0})
    run_data = stored(tracker, run).data
    assert run_data.metrics == {"good": 1.0, "after": 3.0}
    assert "MLflow refused 1 writes of one: " in capsys.readouterr().err


def test_a_store_that_breaks_stops_nothing_and_gets_everything_once_it_is_mended(
    tracker: Tracker,
    run: Run,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(shipper, "PATIENCE_S", 0.5)
    run.log_metrics({"a": 1.0})
    ((folder, _),) = all_journals(project)
    wait_until(lambda: num_open(folder) == 0)
    with sqlite3.connect(project / "mlflow.db", timeout=60) as database:
        database.execute("ALTER TABLE tags RENAME TO hidden")
    run.set_tags({"t": "1"})
    run.finish()
    assert "2 writes are not in MLflow yet" in capsys.readouterr().err
    with sqlite3.connect(project / "mlflow.db", timeout=60) as database:
        database.execute("ALTER TABLE hidden RENAME TO tags")
    wait_until(lambda: not all_journals(project))
    (found,) = tracker.client.search_runs(
        [tracker.client.get_experiment_by_name("mnist").experiment_id]
    )
    assert (found.data.tags["t"], found.info.status) == ("1", "FINISHED")


def test_files_are_recorded_as_they_were(tracker: Tracker, run: Run, project: Path) -> None:
    file = project / "a.txt"
    file.write_text("then")
    run.log_files([file], folder="inner")
    file.write_text("now")
    run_id = stored(tracker, run).info.run_id
    copy = tracker.client.download_artifacts(run_id, "inner/a.txt", str(project / "mlruns"))
    assert Path(copy).read_text() == "then"


def test_a_file_that_cannot_be_copied_is_told_and_stops_nothing(
    tracker: Tracker, run: Run, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run.log_files([project / "missing.txt"])
    assert stored(tracker, run).info.status == "FINISHED"
    assert "did not take its files: " in capsys.readouterr().err


def test_no_run_takes_everything_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = NoRun()
    run.log_params({"a": 1})
    run.log_epoch(EpochRecord(0, 1, {"a": 1.0}))
    run.log_files([Path("missing")])
    run.finish("FAILED")
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr() == ("", "")
