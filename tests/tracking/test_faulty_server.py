"""Servers that fail in every way: after all of it, MLflow holds each row and file exactly once."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.tracking.faulty_server import Proxy, Server, rows
from tests.tracking.waiting import wait_until

from pipeline.records import EpochRecord
from pipeline.tracking import Run, Tracker, shipper, sync
from pipeline.tracking.journal import all_journals

EPOCHS = 8


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    proxy = Proxy(server.port)
    yield proxy
    proxy.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses; and MLflow's client itself does not try again."""
    monkeypatch.setattr(shipper, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(shipper, "LONGEST_PAUSE_S", 0.02)
    monkeypatch.setattr(shipper, "PATIENCE_S", 1.0)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")


def write_run(tracker: Tracker, name: str, file: Path) -> Run:
    """Write what a training writes, up to its last epoch."""
    run = tracker.start(name, tags={"color": "red"}, params={"a": {"b": 1}, "c": None})
    for epoch in range(EPOCHS):
        run.log_epoch(EpochRecord(epoch, epoch, {"val/loss": 1 / (1 + epoch), "nan": float("nan")}))
    file.write_text("one,two")
    run.log_files([file], folder="tables")
    run.log_text("<html>", "report.html")
    run.log_metrics({"kept/val/loss": 0.25}, step=EPOCHS)
    run.set_tags({"verdict": "healthy"})
    return run


def assert_whole(server: Server, name: str) -> None:
    """Compare what the server's database holds with what was written."""
    database = server.folder / "server.db"
    found = rows(
        database,
        f"select run_uuid, status from runs where name = '{name}' and lifecycle_stage = 'active'",
    )
    assert [status for _, status in found] == ["FINISHED"]
    run_id = found[0][0]
    of_run = f"where run_uuid = '{run_id}'"
    losses = rows(
        database,
        f"select step, value from metrics {of_run} and key = 'val/loss' order by timestamp, step",
    )
    assert losses == [(epoch + 1, 1 / (1 + epoch)) for epoch in range(EPOCHS)]
    counts = rows(database, f"select key, count(*) from metrics {of_run} group by key order by key")
    assert counts == [("kept/val/loss", 1), ("nan", EPOCHS), ("val/loss", EPOCHS)]
    params = rows(database, f"select key, value from params {of_run} order by key")
    assert params == [("a.b", "1"), ("c", "null")]
    tags = dict(rows(database, f"select key, value from tags {of_run}"))
    assert (tags["color"], tags["verdict"]) == ("red", "healthy")
    folder = next((server.folder / "artifacts").glob(f"*/{run_id}/artifacts"))
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert files == {"tables/table.csv", "report.html"}
    assert (folder / "tables" / "table.csv").read_text() == "one,two"


@pytest.mark.parametrize("way", ["500", "html", "json", "400", "drop", "refuse"])
def test_every_third_answer_is_broken(
    way: str, server: Server, proxy: Proxy, project: Path
) -> None:
    proxy.plan = ["ok", "ok", way] * 40
    tracker = Tracker(proxy.url, experiment="faults", root=project)
    run = write_run(tracker, f"third-{way}", project / "table.csv")
    run.finish()
    wait_until(lambda: all_journals(project) == [])
    assert proxy.seen[way] > 3
    assert_whole(server, f"third-{way}")


def test_every_write_acts_and_its_first_answer_is_lost(
    server: Server, proxy: Proxy, project: Path
) -> None:
    proxy.lose_first = True
    tracker = Tracker(proxy.url, experiment="faults", root=project)
    run = write_run(tracker, "lost", project / "table.csv")
    run.finish()
    wait_until(lambda: all_journals(project) == [])
    assert proxy.seen["drop"] > 10
    assert_whole(server, "lost")


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))]
)
def test_answers_are_broken_at_random(
    seed: int, server: Server, proxy: Proxy, project: Path
) -> None:
    dice = random.Random(seed)
    proxy.plan = dice.choices(["ok", "500", "html", "drop", "refuse", "json"], k=60)
    tracker = Tracker(proxy.url, experiment="faults", root=project)
    run = write_run(tracker, f"random-{seed}", project / "table.csv")
    run.finish()
    wait_until(lambda: all_journals(project) == [])
    assert_whole(server, f"random-{seed}")


def test_a_run_that_a_late_request_makes_again_counts_once(
    server: Server, proxy: Proxy, project: Path
) -> None:
    tracker = Tracker(proxy.url, experiment="faults", root=project)
    tracker.shipper.store.experiment("faults")
    proxy.plan = ["ok", "stall"]  # the search by key, then the request that makes the run
    run = write_run(tracker, "late", project / "table.csv")
    wait_until(lambda: run.run_id is not None)
    assert proxy.seen["stall"] == 1
    proxy.release()
    run.finish()
    wait_until(lambda: all_journals(project) == [])
    assert_whole(server, "late")


def test_a_server_that_never_comes_fails_nothing_and_loses_nothing(
    server: Server, proxy: Proxy, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proxy.plan = ["refuse"] * 10_000
    tracker = Tracker(proxy.url, experiment="faults", root=project)
    run = write_run(tracker, "absent", project / "table.csv")
    run.finish()
    printed = capsys.readouterr()
    assert "pipeline sync" in printed.err and "15 writes" in printed.err
    left = [s.leftover for s in sync(project)]
    assert left == [None]  # its process lives
    proxy.plan = []
    wait_until(lambda: all_journals(project) == [])  # the thread tries again by itself
    assert_whole(server, "absent")
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_a_server_that_is_killed_stopped_and_started_again(
    tmp_path: Path, project: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copyfile(empty_store, folder / "server.db")
    server = Server(folder)
    try:
        tracker = Tracker(server.url, experiment="faults", root=project)
        absent = write_run(tracker, "absent", project / "table.csv")
        absent.finish()
        server.start()
        wait_until(lambda: absent.run_id is not None)
        server.kill()
        killed = write_run(tracker, "killed", project / "table.csv")
        killed.finish()
        server.start()
        server.signal(signal.SIGSTOP)
        stopped = write_run(tracker, "stopped", project / "table.csv")
        stopped.finish()
        server.signal(signal.SIGCONT)
        wait_until(lambda: all_journals(project) == [])
        for name in ("absent", "killed", "stopped"):
            assert_whole(server, name)
    finally:
        server.kill()
