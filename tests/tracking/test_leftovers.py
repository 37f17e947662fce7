"""Journals of ended processes: sent later, closed where the process died, told where it fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.tracking.waiting import wait_until

from pipeline import cli
from pipeline.records import EpochRecord
from pipeline.tracking import MODEL_TAG, Tracker, sync
from pipeline.tracking.connection import kept
from pipeline.tracking.delivery import Delivery
from pipeline.tracking.journal import Head, all_journals, open_journal
from pipeline.tracking.leftovers import leftovers, prune, ship

# A training that ends without a word: as `kill -9` ends it.
DIES = """
import os, sys
from pathlib import Path
from pipeline.records import EpochRecord
from pipeline.tracking import Tracker

tracker = Tracker("sqlite:///mlflow.db", experiment="mnist", root=Path(sys.argv[1]))
run = tracker.start("dies", tags={}, params={"p": 1}, key="d" * 32)
for epoch in range(3):
    run.log_epoch(EpochRecord(epoch, 1, {"loss": 0.5}))
os._exit(9)
"""


def run_of(tracker: Tracker) -> Any:
    (experiment,) = tracker.client.search_experiments(filter_string="name = 'mnist'")
    (run,) = tracker.client.search_runs([experiment.experiment_id])
    return run


def steps(tracker: Tracker) -> list[int]:
    history = tracker.client.get_metric_history(run_of(tracker).info.run_id, "loss")
    return [point.step for point in history]


def head(**values: Any) -> Head:
    return Head("e" * 32, "sqlite:///mlflow.db", "mnist", "left", **values)


def test_the_run_of_a_killed_process_is_closed_with_its_reason_and_can_go_on(
    tracker: Tracker, project: Path
) -> None:
    child = subprocess.Popen([sys.executable, "-c", DIES, str(project)])
    assert child.wait(timeout=600) == 9
    (done,) = sync(project)
    assert done.leftover is not None
    assert (done.name, done.leftover.open) == ("dies", 0)
    run = run_of(tracker)
    assert run.info.status == "KILLED"
    assert f"process {child.pid}" in run.data.tags["pipeline.ended"]
    assert steps(tracker) == [1, 2, 3]
    assert sync(project) == []

    again = tracker.start("dies", tags={}, params={"p": 1}, key="d" * 32)
    for epoch in range(2, 4):
        again.log_epoch(EpochRecord(epoch, 1, {"loss": 0.5}))
    again.finish()
    assert run_of(tracker).info.status == "FINISHED"
    assert "pipeline.ended" not in run_of(tracker).data.tags
    assert steps(tracker) == [1, 2, 3, 4]


def test_a_run_that_goes_on_under_another_name_has_that_name(tracker: Tracker) -> None:
    """The model has it too, and is found by both."""
    tracker.start("first", tags={}, key="d" * 32).finish("KILLED", resumable=True)
    assert run_of(tracker).info.run_name == "first"
    again = tracker.start("second", tags={MODEL_TAG: "abc"}, key="d" * 32)
    again.finish()
    assert run_of(tracker).info.run_name == "second"
    with tracker.of_model(model_sha256="abc", name="second") as run:
        run.set_tags({"found": "yes"})
    assert run_of(tracker).data.tags["found"] == "yes"


@pytest.mark.parametrize("shipped", [False, True], ids=["unsent", "sent"])
def test_a_dead_process_does_not_end_a_run_that_another_one_has_finished(
    shipped: bool, tracker: Tracker, project: Path
) -> None:
    first = tracker.start("left", tags={}, key="e" * 32)
    dead, _ = open_journal(project, head())  # beside it, as a second process has it
    if shipped:
        Delivery(dead.folder, tracker.shipper.store).send()
    dead.close()
    first.finish()
    sync(project)
    assert run_of(tracker).info.status == "FINISHED"
    assert sync(project) == []


def test_a_dead_process_does_not_end_a_run_that_another_one_goes_on_with(
    tracker: Tracker, project: Path
) -> None:
    living = tracker.start("left", tags={}, key="e" * 32)
    dead, _ = open_journal(project, head())
    dead.close()
    wait_until(lambda: living.run_id is not None)
    sync(project)
    assert run_of(tracker).info.status == "RUNNING"
    living.finish("FAILED")
    assert run_of(tracker).info.status == "FAILED"


def test_what_was_sent_before_its_confirmation_was_noted_is_not_doubled(
    tracker: Tracker, project: Path
) -> None:
    run = tracker.start("one", tags={})
    for epoch in range(3):
        run.log_epoch(EpochRecord(epoch, 1, {"loss": 0.5, "nan": float("nan")}))
    run.finish(resumable=True)
    (folder, _), *_ = all_journals(project)
    (folder / "state.json").unlink()
    sync(project)
    assert steps(tracker) == [1, 2, 3]


def test_the_next_run_sends_what_is_left_by_itself(tracker: Tracker, project: Path) -> None:
    journal, _ = open_journal(project, head())
    journal.write("metrics", t=1, step=1, values={"loss": 0.5})
    journal.close()
    tracker.start("next", tags={"next": "yes"}).finish()
    wait_until(lambda: list(leftovers(project)) == [])
    (experiment,) = tracker.client.search_experiments(filter_string="name = 'mnist'")
    runs = tracker.client.search_runs([experiment.experiment_id])
    assert {(r.info.run_name, r.info.status) for r in runs} == {
        ("left", "KILLED"),
        ("next", "FINISHED"),
    }


def test_a_run_of_another_machine_is_sent_but_not_closed(tracker: Tracker, project: Path) -> None:
    journal, _ = open_journal(project, head(host="elsewhere"))
    journal.close()
    sync(project)
    assert run_of(tracker).info.status == "RUNNING"


def test_a_damaged_line_and_missing_files_are_told_and_the_rest_is_sent(
    tracker: Tracker, project: Path
) -> None:
    journal, _ = open_journal(project, head())
    journal.write("files", kept="files/gone", folder=None)
    journal.write("metrics", t=1, step=1, values={"loss": 0.5})
    journal.write("end", status="FINISHED", t=2, resumable=False)
    journal.close()
    text = journal.path.read_bytes()
    journal.path.write_bytes(text.replace(b'"op":"end"', b'"op":end\n{"op":"end"'))
    (done,) = sync(project)
    assert done.leftover is not None
    assert done.leftover.refused == 2
    assert steps(tracker) == [1]
    assert run_of(tracker).info.status == "FINISHED"


def test_the_command_tells_what_it_sent(
    tracker: Tracker, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal, _ = open_journal(project, head())
    journal.write("end", status="FINISHED", t=2, resumable=False)
    journal.close()
    assert cli.call("sync", []) == 0
    assert cli.call("sync", []) == 0
    assert capsys.readouterr().out.splitlines() == [
        "left: 2 writes sent",
        "nothing is open: MLflow has confirmed every write",
    ]


def test_the_command_fails_where_the_server_is_away(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("a" * 32, "b" * 32):
        journal, _ = open_journal(project, Head(key, "http://127.0.0.1:9", "mnist", key[0]))
        journal.close()
    monkeypatch.setattr(sys, "argv", ["pipeline", "sync"])
    assert cli.main() == 1
    told = capsys.readouterr()
    assert told.out.count("Connection refused)") == 2
    assert "writes of 2 runs are still open (http://127.0.0.1:9)" in told.err


def test_each_of_many_journals_of_one_run_is_sent_once(
    tracker: Tracker, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many workers leave them that died together: each sends those before it."""
    opened = [open_journal(project, head())[0] for _ in range(12)]
    for journal in opened:
        journal.close()
    sent: list[Path] = []

    def send(delivery: Delivery) -> None:
        sent.append(delivery.folder)

    monkeypatch.setattr(Delivery, "send", send)
    store = tracker.shipper.store
    for folder, found in leftovers(project):
        ship(folder, found, store)
    assert len(set(sent)) == 12 and len(sent) <= 12 * 13 / 2


def test_the_journal_of_a_run_that_was_interrupted_long_ago_is_deleted(
    tracker: Tracker, project: Path
) -> None:
    run = tracker.start("one", tags={})
    run.finish("KILLED", resumable=True)
    wait_until(lambda: sync(project) == [])
    assert len(all_journals(project)) == 1
    (folder, _), *_ = all_journals(project)
    os.utime(folder / "lines.jsonl", (1e9, 1e9))
    prune(project)
    assert all_journals(project) == []


def test_a_journal_keeps_no_password_and_needs_it_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = "postgresql://somebody:secret@127.0.0.1:9/runs"
    shown = kept(uri, project)
    assert shown == "postgresql://somebody:***@127.0.0.1:9/runs"
    journal, _ = open_journal(project, Head("e" * 32, shown, "mnist", "left"))
    journal.close()
    (done,) = sync(project)
    assert done.leftover is not None
    assert "set MLFLOW_TRACKING_URI" in done.leftover.reason


def test_a_moved_project_sends_into_the_store_that_moved_with_it(
    tracker: Tracker, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    journal, _ = open_journal(project, head())
    journal.write("metrics", t=1, step=1, values={"loss": 0.5})
    journal.close()
    moved = tmp_path_factory.mktemp("moved") / "project"
    shutil.copytree(project, moved)
    sync(moved)
    there = Tracker("sqlite:///mlflow.db", experiment="mnist", root=moved)
    assert steps(there) == [1]
    assert len(all_journals(project)) == 1
