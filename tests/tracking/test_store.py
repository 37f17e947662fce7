"""A store and its runs: opened once, resumed, found again; a store that cannot be reached."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.tracking.waiting import wait_until

from pipeline.errors import TrackingError
from pipeline.records import EpochRecord
from pipeline.tracking import MODEL_TAG, Run, Tracker, new_key, open_tracker, sync
from pipeline.tracking.connection import short_reason
from pipeline.tracking.delivery import Delivery, NotYet
from pipeline.tracking.journal import Head, open_journal

TRACKING = {
    "enabled": True,
    "uri": "sqlite:///mlflow.db",
    "experiment": "mnist",
    "tensorboard": False,
    "model": "auto",
}


def stored(tracker: Tracker, run: Run) -> Any:
    return tracker.client.get_run(run.run_id)


def ended(run: Run, status: str | None = "FINISHED") -> Run:
    """End a run in a way that lets it go on, so that its journal still tells MLflow's id."""
    run.finish(status, resumable=True)
    return run


def test_tracking_that_is_off_opens_no_store(project: Path) -> None:
    assert open_tracker({**TRACKING, "enabled": False}, root=project) is None
    assert not (project / "mlflow.db").exists()


def test_a_process_connects_to_a_store_once(tracker: Tracker, project: Path) -> None:
    again = open_tracker(TRACKING, root=project)
    assert again is not None
    assert again.shipper is tracker.shipper


def test_the_environment_wins_over_the_configured_store(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    opened = open_tracker(TRACKING, root=project)
    assert opened is not None
    assert opened.uri == f"sqlite:///{project}/other.db"


@pytest.mark.parametrize("uri", ["htp://127.0.0.1:9", "mlruns", "sqlite:///conf/config.yaml/m.db"])
def test_an_address_that_can_never_be_a_store_is_an_error_with_a_way_out(
    uri: str, project: Path
) -> None:
    with pytest.raises(TrackingError, match=r"tracking=none"):
        open_tracker({**TRACKING, "uri": uri}, root=project)


def test_a_deleted_experiment_is_restored(tracker: Tracker, project: Path) -> None:
    ended(tracker.start("one", tags={}))
    (first,) = tracker.client.search_experiments(filter_string="name = 'mnist'")
    tracker.client.delete_experiment(first.experiment_id)
    tracker.shipper.store.forget()
    run = ended(tracker.start("two", tags={}))
    assert stored(tracker, run).info.experiment_id == first.experiment_id
    assert tracker.client.get_experiment(first.experiment_id).lifecycle_stage == "active"


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (ValueError, "FAILED"), (SystemExit, "KILLED")]
)
def test_a_recorded_run_ends_by_the_error_inside(
    tracker: Tracker, error: type[BaseException] | None, status: str
) -> None:
    try:
        with tracker.recording("one", tags={}, params={}):
            if error:
                raise error
    except (ValueError, SystemExit):
        assert error is not None
    (experiment,) = tracker.client.search_experiments(filter_string="name = 'mnist'")
    (stored_run,) = tracker.client.search_runs([experiment.experiment_id])
    assert stored_run.info.status == status


def test_an_error_that_a_library_has_made_of_a_signal_is_an_interruption(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.interruption.received", lambda: signal.SIGTERM)
    with (
        pytest.raises(RuntimeError),
        tracker.recording("one", tags={}, params={}) as run,
    ):
        raise RuntimeError("a file was closed while it was written")
    assert stored(tracker, run).info.status == "KILLED"


def test_a_resumed_run_gets_the_new_tags_and_keeps_its_parameters(tracker: Tracker) -> None:
    run = ended(tracker.start("one", tags={"a": "1"}, params={"p": 1}), "KILLED")
    again = tracker.start("one", tags={"a": "2"}, params={"p": 2}, key=run.key)
    again.finish(None, resumable=True)
    assert again.run_id == run.run_id
    assert stored(tracker, run).data.tags["a"] == "2"
    assert stored(tracker, run).data.params == {"p": "1"}
    assert stored(tracker, run).info.status == "RUNNING"


def test_a_run_whose_journal_is_gone_is_found_by_its_key(tracker: Tracker, project: Path) -> None:
    run = ended(tracker.start("one", tags={}, params={"p": 1}))
    first = run.run_id
    (project / "journal").rename(project / "gone")
    again = ended(tracker.start("one", tags={"a": "2"}, params={"p": 2}, key=run.key))
    assert again.run_id == first
    assert stored(tracker, again).data.tags["a"] == "2"
    assert stored(tracker, again).data.params == {"p": "1"}


def test_a_run_that_was_deleted_is_replaced_by_a_new_one_with_parameters(
    tracker: Tracker,
) -> None:
    run = ended(tracker.start("one", tags={}, params={"p": 2}))
    first = run.run_id
    tracker.client.delete_run(first)
    again = tracker.start("one", tags={}, key=run.key)
    wait_until(lambda: again.run_id not in (None, first))
    ended(again)
    assert stored(tracker, again).data.params == {"p": "2"}


def test_the_rows_of_a_resumed_run_are_not_doubled(tracker: Tracker) -> None:
    run = tracker.start("one", tags={})
    for epoch in range(3):
        run.log_epoch(EpochRecord(epoch, 1, {"loss": 0.5, "time/epoch_s": 1.0 + epoch}))
    run.log_metrics({"kept/loss": 0.5}, step=3)
    ended(run, "KILLED")
    again = tracker.start("one", tags={}, key=run.key)
    for epoch in range(2, 4):  # from the checkpoint of the second epoch
        again.log_epoch(EpochRecord(epoch, 1, {"loss": 0.5, "time/epoch_s": 9.0}))
    again.log_metrics({"kept/loss": 0.5}, step=3)
    ended(again)
    points = {
        name: [(p.step, p.value) for p in tracker.client.get_metric_history(again.run_id, name)]
        for name in ("loss", "time/epoch_s", "kept/loss")
    }
    assert points == {
        "loss": [(1, 0.5), (2, 0.5), (3, 0.5), (4, 0.5)],
        "time/epoch_s": [(1, 1.0), (2, 2.0), (3, 3.0), (4, 9.0)],
        "kept/loss": [(3, 0.5)],
    }


def test_a_parent_that_is_named_by_its_key_gets_mlflows_id(tracker: Tracker) -> None:
    parent = tracker.start("parent", tags={})
    child = ended(tracker.start("child", tags={"mlflow.parentRunId": parent.key}))
    assert stored(tracker, child).data.tags["mlflow.parentRunId"] == parent.run_id


def test_an_existing_run_is_written_into_by_key_and_by_id(tracker: Tracker) -> None:
    run = ended(tracker.start("one", tags={}), "FAILED")
    with tracker.reopened(run.key) as more:
        more.set_tags({"by": "key"})
    with tracker.reopened(str(run.run_id)) as more:
        more.set_tags({"by_id": "yes"})
    data = stored(tracker, run)
    assert (data.data.tags["by"], data.data.tags["by_id"]) == ("key", "yes")
    assert data.info.status == "FAILED"


def test_a_run_is_found_by_its_model_and_its_name(tracker: Tracker) -> None:
    wanted = ended(tracker.start("mlp", tags={MODEL_TAG: "abc"}))
    other = ended(tracker.start("cnn", tags={MODEL_TAG: "abc"}))
    with tracker.of_model(model_sha256="abc", name="mlp") as run:
        run.set_tags({"found": "yes"})
    assert "found" in stored(tracker, wanted).data.tags
    assert "found" not in stored(tracker, other).data.tags


def test_numbers_that_a_command_left_are_not_doubled_by_the_same_command(
    tracker: Tracker, project: Path
) -> None:
    """The first one had found the run when its disk was full; its lines are sent later."""
    ended(tracker.start("mlp", tags={MODEL_TAG: "abc"}))
    head = Head(
        new_key(), "sqlite:///mlflow.db", "mnist", "mlp", "model", False, {MODEL_TAG: "abc"}
    )
    journal, _ = open_journal(project, head)
    journal.write("metrics", t=1, step=0, values={"accuracy": 0.5})
    Delivery(journal.folder, tracker.shipper.store)._find_or_make()
    journal.close()

    with tracker.of_model(model_sha256="abc", name="mlp") as run:
        run.log_metrics({"accuracy": 0.5})
    assert [synced.leftover.open for synced in sync(project) if synced.leftover] == [0]
    with contextlib.closing(sqlite3.connect(project / "mlflow.db")) as store:
        assert store.execute("select value from metrics").fetchall() == [(0.5,)]


@pytest.mark.parametrize(("create", "number"), [(False, 1), (True, 2)])
def test_a_model_without_a_run_gets_one_only_where_that_is_asked_for(
    create: bool, number: int, tracker: Tracker
) -> None:
    ended(tracker.start("mlp", tags={MODEL_TAG: "abc"}))
    with tracker.of_model(model_sha256="abd", name="mlp", create=create) as run:
        run.log_metrics({"accuracy": 0.5})
    (experiment,) = tracker.client.search_experiments(filter_string="name = 'mnist'")
    runs = tracker.client.search_runs([experiment.experiment_id])
    assert [r.info.status for r in runs] == ["FINISHED"] * number


OPEN_ONE = """
import sys
from pathlib import Path
from pipeline.tracking import Tracker

tracker = Tracker("sqlite:///mlflow.db", experiment="mnist", root=Path(sys.argv[1]))
run = tracker.start("one", tags={})
run.log_metrics({"a": 1.0})
run.finish()
sys.exit(run.failures)
"""


@pytest.mark.slow
def test_four_processes_share_a_fresh_store(project: Path) -> None:
    command = [sys.executable, "-c", OPEN_ONE, str(project)]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait(timeout=240) for process in processes] == [0, 0, 0, 0]
    tracker = Tracker("sqlite:///mlflow.db", experiment="mnist", root=project)
    (experiment,) = tracker.client.search_experiments(filter_string="name = 'mnist'")
    runs = tracker.client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 4


@pytest.mark.parametrize(
    ("message", "told"),
    [
        pytest.param("the database is locked.", "the database is locked", id="plain"),
        pytest.param(
            "API request failed (Caused by NewConnectionError(\"HTTPConnection(host='h'): Failed: "
            '[Errno 111] Connection refused"))',
            "[Errno 111] Connection refused",
            id="refused",
        ),
        pytest.param(
            "API request failed (Caused by ResponseError('too many 500 error responses'))",
            "too many 500 error responses",
            id="500",
        ),
        pytest.param(
            "(raised as a result of a flush)\n(sqlite3.OperationalError) database or disk is full\n"
            "[SQL: INSERT INTO metrics]",
            "database or disk is full",
            id="database",
        ),
        pytest.param("x" * 500, "x" * 159 + "…", id="long"),
    ],
)
def test_the_reason_of_a_failure_is_told_in_a_few_words(message: str, told: str) -> None:
    assert short_reason(Exception(message)) == told


def test_a_run_that_is_deleted_while_it_goes_on_has_its_parameters_again(
    tracker: Tracker, project: Path
) -> None:
    """The first attempt met the run with its parameters; the new run has none of them."""
    first = tracker.start("run", tags={}, params={"p": 1}, key="a" * 32)
    first.log_metrics({"loss": 0.5}, step=1)
    first.finish()
    head = Head("a" * 32, "sqlite:///mlflow.db", "mnist", "run")
    journal, _ = open_journal(project, head)
    journal.write("params", values={"p": "1"})
    delivery = Delivery(journal.folder, tracker.shipper.store)
    delivery.send()
    assert delivery.state.run_id is not None
    tracker.client.delete_run(delivery.state.run_id)
    journal.write("metrics", t=1, step=1, values={"loss": 0.5})
    with contextlib.suppress(NotYet):  # MLflow's client says so, a local store makes the new run
        delivery.send()
    delivery.send()
    journal.close()
    data = tracker.client.get_run(delivery.state.run_id).data
    assert (data.params, data.metrics) == ({"p": "1"}, {"loss": 0.5})
