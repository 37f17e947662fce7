"""The thread that sends: it gathers short epochs, and a run's end does not wait for that."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.tracking.faulty_server import free_port
from tests.tracking.waiting import wait_until

from pipeline.records import EpochRecord
from pipeline.tracking import Run, Tracker, shipper
from pipeline.tracking.connection import load_mlflow
from pipeline.tracking.destination import Point
from pipeline.tracking.journal import all_journals
from pipeline.tracking.leftovers import num_open

NUM_EPOCHS = 40
DAY_S = 86_400


def finish_soon(run: Run) -> None:
    """End a run; fail where its end does not come, instead of waiting with it."""
    ending = threading.Thread(target=run.finish, daemon=True)
    ending.start()
    ending.join(300)
    assert not ending.is_alive()


def test_short_epochs_are_gathered_and_an_end_hurries_them(
    tracker: Tracker, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipper, "GATHER_S", DAY_S)
    calls: list[int] = []
    log_metrics = tracker.shipper.store.log_metrics

    def counted(run_id: str, points: Sequence[Point]) -> None:
        calls.append(len(points))
        log_metrics(run_id, points)

    monkeypatch.setattr(tracker.shipper.store, "log_metrics", counted)
    run = tracker.start("one", tags={})
    ((folder, _),) = all_journals(project)
    wait_until(lambda: num_open(folder) == 0)
    for epoch in range(NUM_EPOCHS):
        run.log_epoch(EpochRecord(epoch, epoch, {"loss": 1.0}))
    finish_soon(run)
    assert all_journals(project) == []
    assert sum(calls) == NUM_EPOCHS
    assert len(calls) <= 3


def test_an_end_does_not_wait_for_a_long_pause_after_failures(
    tracker: Tracker, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipper, "FIRST_PAUSE_S", DAY_S)
    _ = tracker.client  # a client that connects later would make the missing table
    with sqlite3.connect(project / "mlflow.db", timeout=60) as database:
        database.execute("ALTER TABLE tags RENAME TO hidden")
    run = tracker.start("one", tags={})
    wait_until(lambda: tracker.shipper.trouble != "")
    with sqlite3.connect(project / "mlflow.db", timeout=60) as database:
        database.execute("ALTER TABLE hidden RENAME TO tags")
    monkeypatch.setattr(shipper, "FIRST_PAUSE_S", 0.01)
    finish_soon(run)
    wait_until(lambda: all_journals(project) == [])


def test_the_transport_tells_nothing_of_mlflow_and_keeps_its_word_about_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mlflow = load_mlflow()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    client = mlflow.MlflowClient(tracking_uri=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(mlflow.MlflowException):
        client.get_run("0" * 32)
    transport = logging.getLogger("urllib3.connectionpool")
    assert caplog.records == []
    assert transport.isEnabledFor(logging.WARNING)
    transport.warning("Retrying (%r) after connection broken by '%r': %s", 1, OSError(), "/other")
    assert [record.name for record in caplog.records] == [transport.name]
