"""A store that is written without MLflow holds what MLflow itself leaves, or is left to MLflow."""

from __future__ import annotations

import math
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.tracking.waiting import wait_until

from pipeline.tracking import MODEL_TAG, Run, Tracker
from pipeline.tracking.delivery import Delivery
from pipeline.tracking.destination import Destination, NeedsMlflow
from pipeline.tracking.journal import Head, Journal, all_journals, open_journal
from pipeline.tracking.leftovers import settle
from pipeline.tracking.sqlite_rows import SCHEMA
from pipeline.tracking.sqlite_store import SqliteStore, is_plain
from pipeline.tracking.store import Store

URI = "sqlite:///mlflow.db"
KEY, PARENT, DIGEST = "1" * 32, "2" * 32, "a" * 64
ROOTS = ("by_rows", "by_mlflow")


def journal_of(root: Path, write: Callable[[Run], None], head: Head) -> Journal:
    """A journal with its last line, held by this process. The time is one for both stores."""
    journal, known = open_journal(root, head)
    run = Run(head.key, journal, None, known)
    write(run)
    return journal


def own(key: str, name: str, **tags: str) -> Head:
    return Head(key, URI, "mnist", name, tags=tags, began_ms=1_700_000_000_000)


def trained(file: Path) -> Callable[[Run], None]:
    """What a training records: settings, numbers of every kind, tags, its data, files."""

    def write(run: Run) -> None:
        run.log_params({"model": {"width": 256, "name": None}, "text": "ä" * 6000})
        for step, value in enumerate([0.1 + 0.2, math.nan, math.inf, -math.inf]):
            run.log_metrics({"val/loss": value, "a b/c-d_e.f": 1.0}, step=step)
        run.log_metrics({"val/loss": 0.5}, step=1)
        run.set_tags({MODEL_TAG: DIGEST, "mlflow.note.content": "note", "t": "1"})
        run.set_tags({"t": "2", "mlflow.runName": "renamed", "pipeline.ended": "once"})
        run.log_dataset(name="mnist", digest="0123456789", source="data", profile={"n": [1, 2]})
        run.log_files([file])
        run.log_text("one", "inner/a.txt")
        run.finish("KILLED", resumable=True)

    return write


def goes_on(run: Run) -> None:
    """What a later process records of the same run."""
    run.log_params({"model": {"width": 256}})
    run.log_metrics({"val/loss": 0.25}, step=7)
    run.log_dataset(name="mnist", digest="0123456789", source="data", profile={"n": [1, 2]})
    run.finish("FINISHED", resumable=True)


def evaluated(file: Path) -> Callable[[Run], None]:
    """What a command adds to the run of a model."""

    def write(run: Run) -> None:
        run.log_metrics({"test/accuracy": 0.9, "val/loss": 0.25})
        run.log_files([file], folder="evaluation")
        run.finish()

    return write


def seed(root: Path) -> Iterator[Journal]:
    """Write the journals of a project, one after the other."""
    file = root / "file.txt"
    file.write_text("content")
    yield journal_of(root, lambda run: run.finish(resumable=True), own(PARENT, "parent"))
    child = own(KEY, "mlp", **{"mlflow.parentRunId": PARENT})
    yield journal_of(root, trained(file), child)
    yield journal_of(root, goes_on, child)
    of_model = Head("3" * 32, URI, "mnist", "renamed", "model", False, {MODEL_TAG: DIGEST})
    yield journal_of(root, evaluated(file), of_model)


def content(root: Path) -> dict[str, list[list[Any]]]:
    """All rows of all tables, with the names of runs in place of their random ids."""
    with sqlite3.connect(root / "mlflow.db") as store:
        tables = [row[0] for row in store.execute("SELECT name FROM sqlite_master WHERE sql > ''")]
        ids = dict(
            store.execute(
                "SELECT run_uuid, value FROM tags JOIN runs USING (run_uuid)"
                " WHERE key = 'pipeline.key'"
            )
        )
        ids |= dict(store.execute("SELECT dataset_uuid, name FROM datasets"))
        ids |= dict(store.execute("SELECT input_uuid, destination_type FROM inputs"))
        found = {}
        for table in tables:
            try:
                cursor = store.execute(f"SELECT * FROM {table}")
            except sqlite3.OperationalError:  # an index
                continue
            columns = [column[0] for column in cursor.description]
            rows = [
                [
                    _plain(value, ids, root)
                    for name, value in zip(columns, row, strict=True)
                    if name not in ("creation_time", "last_update_time", "end_time")
                    and (name != "timestamp")
                ]
                for row in cursor
            ]
            found[table] = sorted(rows, key=repr)
    return found


def _plain(value: Any, ids: dict[str, str], root: Path) -> Any:
    if not isinstance(value, str):
        return value
    for run_id, name in ids.items():
        value = value.replace(run_id, name)
    return value.replace(str(root), "")


def files(root: Path) -> dict[Path, bytes]:
    (folder,) = (root / "mlruns" / "mnist").iterdir()
    inside = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder): path.read_bytes() for path in inside}


@pytest.fixture
def stores(tmp_path: Path, empty_store: Path) -> dict[str, Destination]:
    """An empty store of each kind, each in a project of its own."""
    made: dict[str, Destination] = {}
    for name, kind in zip(ROOTS, (SqliteStore, Store), strict=True):
        root = tmp_path / name
        root.mkdir()
        shutil.copyfile(empty_store, root / "mlflow.db")
        made[name] = kind(f"sqlite:///{root}/mlflow.db", root=root)
    return made


def test_a_run_leaves_the_rows_and_files_that_mlflow_leaves(
    stores: dict[str, Destination],
) -> None:
    for store in stores.values():
        for journal in seed(store.root):
            Delivery(journal.folder, store).send()
            settle(journal)
    by_rows, by_mlflow = (content(store.root) for store in stores.values())
    assert by_rows == by_mlflow
    assert len(by_rows["runs"]) == 2
    assert len(by_rows["metrics"]) == 4 + 4 + 1 + 1 + 2
    first, second = (files(store.root) for store in stores.values())
    assert first == second
    assert len(first) == 3


def test_lines_that_are_sent_twice_change_nothing(stores: dict[str, Destination]) -> None:
    store = stores["by_rows"]
    for journal in seed(store.root):
        Delivery(journal.folder, store).send()
        once = content(store.root)
        (journal.folder / "state.json").unlink()
        Delivery(journal.folder, store).send()
        assert content(store.root) == once
        journal.close()


def test_the_schema_is_that_of_the_installed_mlflow(empty_store: Path) -> None:
    with sqlite3.connect(empty_store) as store:
        assert store.execute("SELECT version_num FROM alembic_version").fetchall() == [(SCHEMA,)]
    assert is_plain(f"sqlite:///{empty_store}")


def other_schema(store: sqlite3.Connection) -> None:
    store.execute("UPDATE alembic_version SET version_num = 'of another MLflow'")


def deleted_experiment(store: sqlite3.Connection) -> None:
    store.execute(
        "INSERT INTO experiments (name, artifact_location, lifecycle_stage)"
        " VALUES ('mnist', '/nowhere', 'deleted')"
    )


def served_files(store: sqlite3.Connection) -> None:
    store.execute(
        "INSERT INTO experiments (name, artifact_location, lifecycle_stage)"
        " VALUES ('mnist', 'mlflow-artifacts:/1', 'active')"
    )


def nothing(store: sqlite3.Connection) -> None:
    pass


@pytest.mark.parametrize(
    ("change", "write"),
    [
        pytest.param(other_schema, lambda run: None, id="another_schema"),
        pytest.param(deleted_experiment, lambda run: None, id="a_deleted_experiment"),
        pytest.param(served_files, lambda run: run.log_text("a", "a.txt"), id="files_of_a_server"),
        *(
            pytest.param(nothing, lambda run, name=name: run.log_metrics({name: 1.0}), id=name)
            for name in ("a?b", "a//b", "./a", "../a", "a" * 251, "ä")
        ),
        pytest.param(nothing, lambda run: run.set_tags({"mlflow.log-model.history": ""}), id="tag"),
        pytest.param(nothing, lambda run: run.set_tags({"a": "b" * 8001}), id="a_long_tag"),
        pytest.param(
            nothing,
            lambda run: (run.log_params({"a": 1}), run.log_params({"a": 2})),
            id="another_value_of_a_parameter",
        ),
    ],
)
def test_all_that_mlflow_judges_is_left_to_it(
    change: Callable[[sqlite3.Connection], None],
    write: Callable[[Run], object],
    stores: dict[str, Destination],
) -> None:
    store = stores["by_rows"]
    with sqlite3.connect(store.root / "mlflow.db") as database:
        change(database)

    def whole(run: Run) -> None:
        write(run)
        run.set_tags({"behind": "it"})

    with pytest.raises(NeedsMlflow):
        Delivery(journal_of(store.root, whole, own(KEY, "mlp")).folder, store).send()
    assert "behind" not in str(content(store.root)["tags"])


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "postgresql://a/b", "sqlite:///a.db?x=y"])
def test_a_server_is_left_to_mlflow(uri: str) -> None:
    assert not is_plain(uri)


@pytest.mark.parametrize("text", [b"", b"no database at all" * 100])
def test_a_file_that_is_no_store_is_left_to_mlflow(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(text)
    assert not is_plain(f"sqlite:///{tmp_path}/mlflow.db")


RECORDS = """
import sys
from pathlib import Path
from pipeline.tracking import Tracker

tracker = Tracker("sqlite:///mlflow.db", experiment="mnist", root=Path(sys.argv[1]))
run = tracker.start("one", tags={}, params={"p": 1})
run.log_metrics({sys.argv[2]: 1.0, "b": 2.0})
run.finish()
with tracker.reopened(run.key) as more:
    more.set_tags({"later": "yes"})
print("mlflow" in sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("is_new", [False, True], ids=["there", "new"])
def test_recording_a_run_imports_no_mlflow(is_new: bool, project: Path, empty_store: Path) -> None:
    if not is_new:
        shutil.copyfile(empty_store, project / "mlflow.db")
    done = subprocess.run(
        [sys.executable, "-c", RECORDS, str(project), "a"], capture_output=True, text=True
    )
    assert done.stderr.splitlines() == ["False"]
    assert all_journals(project) == []
    with sqlite3.connect(project / "mlflow.db") as store:
        assert store.execute("SELECT status FROM runs").fetchall() == [("FINISHED",)]
        assert store.execute("SELECT key FROM metrics ORDER BY key").fetchall() == [("a",), ("b",)]
        assert store.execute("SELECT value FROM tags WHERE key = 'later'").fetchall() == [("yes",)]


def test_one_write_that_only_mlflow_can_judge_takes_no_other_along(
    tracker: Tracker, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tracker.start("one", tags={})
    ((folder, _),) = all_journals(project)
    assert isinstance(tracker.shipper.store, SqliteStore)
    run.log_metrics({"a": 1.0, "b?": 2.0})
    wait_until(lambda: tracker.shipper.needs_mlflow)
    run.log_metrics({"c": 3.0})
    assert isinstance(tracker.shipper.store, Store)
    run.finish()
    with sqlite3.connect(project / "mlflow.db") as store:
        assert store.execute("SELECT key FROM metrics ORDER BY key").fetchall() == [("a",), ("c",)]
    assert "MLflow refused 1 writes of one: " in capsys.readouterr().err
    assert not folder.exists()
