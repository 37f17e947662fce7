"""Adding to a run without MLflow leaves what MLflow itself leaves, or leaves the work to MLflow."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.tracking import MODEL_TAG, Run, Tracker
from pipeline.tracking.delivery import Delivery
from pipeline.tracking.direct import SCHEMA, add
from pipeline.tracking.journal import Head, Journal, new_key, open_journal

FIRST, SECOND = "a" * 64, "b" * 64  # the hashes of two models


@pytest.fixture
def runs(tracker: Tracker) -> dict[str, str]:
    """Two finished runs in the store, each with a number of its training: hash → MLflow's id."""
    for digest in (FIRST, SECOND):
        run = tracker.start("mlp", tags={MODEL_TAG: digest})
        run.log_metrics({"val/loss": 1.0, "test/accuracy": 0.5})
        run.finish()
    (experiment,) = tracker.client.search_experiments(filter_string="name = 'mnist'")
    found = tracker.client.search_runs([experiment.experiment_id])
    return {run.data.tags[MODEL_TAG]: run.info.run_id for run in found}


def journal_for(tracker: Tracker, digest: str, write: Callable[[Run], None]) -> Journal:
    """A journal that adds to the run of a model, with its last line, held by this process."""
    head = Head(
        new_key(), "sqlite:///mlflow.db", "mnist", "mlp", "model", False, {MODEL_TAG: digest}
    )
    journal, _ = open_journal(tracker.root, head)
    run = Run(head.key, journal, None)
    write(run)
    run.finish()
    return journal


def measured(folder: Path) -> Callable[[Run], None]:
    """What commands add: a file in a folder and one beside it, tags, numbers of every kind."""
    (folder / "page.html").write_text("<p>page</p>")

    def write(run: Run) -> None:
        run.set_tags({"diagnosis.verdict": "overfitting", "diagnosis.confidence": "0.910"})
        run.set_tags({"diagnosis.verdict": "healthy"})
        run.log_metrics({"test/accuracy": 0.1 + 0.2, "test/loss": math.nan, "test/f1/a b": 1.0})
        run.log_metrics({"test/loss": math.inf}, step=1)
        run.log_metrics({"test/brier": -math.inf, "test/accuracy": 0.9})
        run.log_files([folder / "page.html"])
        run.log_files([folder / "page.html"], folder="sweep_report")
        run.log_text("one", "inner/a.txt")

    return write


def content(tracker: Tracker, run_id: str) -> dict[str, Any]:
    """Everything of a run that MLflow reads back, without what tells two runs apart."""
    client = tracker.client
    run = client.get_run(run_id)
    tags = {k: v for k, v in run.data.tags.items() if k not in (MODEL_TAG, "pipeline.key")}
    histories = {
        name: sorted((m.step, repr(m.value)) for m in client.get_metric_history(run_id, name))
        for name in run.data.metrics
    }
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    files = {
        path.relative_to(artifacts): path.read_bytes()
        for path in artifacts.rglob("*")
        if path.is_file()
    }
    latest = {name: repr(value) for name, value in run.data.metrics.items()}
    return {"tags": tags, "latest": latest, "points": histories, "files": files}


def test_what_is_added_directly_is_what_mlflow_adds(
    tracker: Tracker, runs: dict[str, str], tmp_path: Path
) -> None:
    direct = journal_for(tracker, FIRST, measured(tmp_path))
    assert add(direct.folder, uri=tracker.uri, root=tracker.root)
    by_mlflow = journal_for(tracker, SECOND, measured(tmp_path))
    Delivery(by_mlflow.folder, tracker.shipper.store).send()
    added = content(tracker, runs[FIRST])
    assert added == content(tracker, runs[SECOND])
    assert added["tags"]["diagnosis.verdict"] == "healthy"
    assert added["latest"]["test/accuracy"] == "0.9"
    assert len(added["files"]) == 3


def test_a_second_time_adds_nothing(tracker: Tracker, runs: dict[str, str], tmp_path: Path) -> None:
    journal = journal_for(tracker, FIRST, measured(tmp_path))
    assert add(journal.folder, uri=tracker.uri, root=tracker.root)
    once = content(tracker, runs[FIRST])
    assert add(journal.folder, uri=tracker.uri, root=tracker.root)
    assert content(tracker, runs[FIRST]) == once


def test_the_schema_is_that_of_the_installed_mlflow(empty_store: Path) -> None:
    with sqlite3.connect(empty_store) as store:
        assert store.execute("SELECT version_num FROM alembic_version").fetchall() == [(SCHEMA,)]


def other_schema(tracker: Tracker) -> None:
    with sqlite3.connect(tracker.root / "mlflow.db") as store:
        store.execute("UPDATE alembic_version SET version_num = 'of another MLflow'")


def deleted_run(tracker: Tracker) -> None:
    (experiment,) = tracker.client.search_experiments(filter_string="name = 'mnist'")
    for run in tracker.client.search_runs([experiment.experiment_id]):
        tracker.client.delete_run(run.info.run_id)


def served_artifacts(tracker: Tracker) -> None:
    with sqlite3.connect(tracker.root / "mlflow.db") as store:
        store.execute("UPDATE runs SET artifact_uri = 'mlflow-artifacts:/1/2/artifacts'")


def waiting_journal(tracker: Tracker) -> None:
    journal_for(tracker, SECOND, lambda run: run.set_tags({"older": "yes"})).close()


def nothing(tracker: Tracker) -> None:
    pass


def tag(key: str, value: str) -> Callable[[Run], None]:
    return lambda run: run.set_tags({key: value})


@pytest.mark.parametrize(
    ("change", "write"),
    [
        pytest.param(other_schema, tag("a", "b"), id="another_schema"),
        pytest.param(deleted_run, tag("a", "b"), id="a_deleted_run"),
        pytest.param(served_artifacts, tag("a", "b"), id="artifacts_of_a_server"),
        pytest.param(waiting_journal, tag("a", "b"), id="older_lines_wait"),
        pytest.param(nothing, tag("a?b", "c"), id="a_name_that_mlflow_judges"),
        pytest.param(nothing, tag("mlflow.note.content", "c"), id="a_tag_of_mlflows_own"),
        pytest.param(nothing, tag("a", "b" * 8001), id="a_value_that_mlflow_cuts"),
        pytest.param(nothing, lambda run: run.log_params({"a": 1}), id="a_parameter"),
    ],
)
def test_what_is_not_plain_is_left_to_mlflow_and_nothing_of_it_is_written(
    tracker: Tracker,
    runs: dict[str, str],
    change: Callable[[Tracker], None],
    write: Callable[[Run], None],
) -> None:
    def with_a_tag_before(run: Run) -> None:
        run.set_tags({"before": "yes"})
        write(run)

    journal = journal_for(tracker, FIRST, with_a_tag_before)
    change(tracker)
    assert not add(journal.folder, uri=tracker.uri, root=tracker.root)
    with sqlite3.connect(tracker.root / "mlflow.db") as store:
        assert not store.execute("SELECT * FROM tags WHERE key = 'before'").fetchall()


def test_a_server_is_left_to_mlflow(tracker: Tracker, runs: dict[str, str]) -> None:
    journal = journal_for(tracker, FIRST, tag("a", "b"))
    assert not add(journal.folder, uri="http://127.0.0.1:1", root=tracker.root)
