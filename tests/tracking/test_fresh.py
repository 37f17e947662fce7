"""A new store is the one that MLflow makes, whole or not there, also when its maker is killed."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from filelock import FileLock
from tests.tracking.faulty_server import rows
from tests.tracking.test_store import OPEN_ONE

from pipeline.tracking import fresh
from pipeline.tracking.sqlite_rows import SCHEMA

URI = "sqlite:///mlflow.db"


def content(file: Path) -> dict[str, object]:
    """The definition of each table and index, and the rows of each table without their times."""
    with contextlib.closing(sqlite3.connect(file)) as store:
        master = "SELECT type, name, tbl_name, sql FROM sqlite_master"
        found: dict[str, object] = {
            f"{kind} {name}": (table, " ".join((sql or "").split()))
            for kind, name, table, sql in store.execute(master)
        }
        for (table,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
            store.row_factory = sqlite3.Row
            rows = [dict(row) for row in store.execute(f'SELECT * FROM "{table}"')]
            found[table] = [
                {key: value for key, value in row.items() if not key.endswith("_time")}
                for row in rows
            ]
        return found


def test_it_is_the_one_that_mlflow_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fresh.make_store(URI, tmp_path)
    ours = content(tmp_path / "mlflow.db")
    (tmp_path / "mlflow.db").unlink()
    monkeypatch.setattr(fresh, "OF_VERSION", "another")
    fresh.make_store(URI, tmp_path)
    assert ours == content(tmp_path / "mlflow.db")
    assert ours["alembic_version"] == [{"version_num": SCHEMA}]


def test_it_is_made_without_mlflow(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pipeline.tracking import fresh;"
        f"fresh.make_store({URI!r}, Path());"
        "sys.exit('mlflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert [e.name for e in client.search_experiments()] == ["Default"]
    client.log_metric(client.create_run("0").info.run_id, "loss", 1.0)


def test_one_that_is_there_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlflow.db").write_bytes(b"a person's own")
    fresh.make_store(URI, tmp_path)
    assert (tmp_path / "mlflow.db").read_bytes() == b"a person's own"


def test_a_failure_leaves_nothing_and_a_dead_process_s_half_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlflow.db.unfinished").write_bytes(b"half")
    good = fresh.STATEMENTS
    bad = tmp_path / "bad.sql"
    bad.write_text(good.read_text()[:5000])
    monkeypatch.setattr(fresh, "STATEMENTS", bad)
    with pytest.raises(sqlite3.OperationalError):
        fresh.make_store(URI, tmp_path)
    assert not list(tmp_path.glob("mlflow.db*"))
    monkeypatch.setattr(fresh, "STATEMENTS", good)
    fresh.make_store(URI, tmp_path)
    assert [p.name for p in tmp_path.glob("mlflow.db*")] == ["mlflow.db"]


def test_it_waits_for_another_process_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fresh, "LOCK_TIMEOUT_S", 0.1)
    with FileLock(tmp_path / ".mlflow.lock"), pytest.raises(TimeoutError):
        fresh.make_store(URI, tmp_path)


# Make a store, and kill their own process behind a statement: of MLflow's migrations, or of ours.
DIES_IN_MLFLOW = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import engine, event
from pipeline.tracking import fresh
from pipeline.tracking.store import Store, load_client

def die(connection, cursor, statement, *_):
    if sys.argv[2] in statement:
        os.kill(os.getpid(), signal.SIGKILL)

fresh.OF_VERSION = "another"
store = Store(f"sqlite:///{sys.argv[1]}/mlflow.db", root=Path(sys.argv[1]))
load_client(store.uri)
event.listen(engine.Engine, "after_cursor_execute", die)
store.client
"""
DIES_IN_OURS = """
import os, signal, sqlite3, sys
from pathlib import Path
from pipeline.tracking import fresh

def die(statement):
    if sys.argv[2] in statement:
        os.kill(os.getpid(), signal.SIGKILL)

class Traced(sqlite3.Connection):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.set_trace_callback(die)

connect = sqlite3.connect
sqlite3.connect = lambda *a, **k: connect(*a, **k, factory=Traced)
fresh.make_store(f"sqlite:///{sys.argv[1]}/mlflow.db", Path(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("maker", "statement"),
    [
        pytest.param(DIES_IN_MLFLOW, "ADD COLUMN step", id="column"),
        pytest.param(DIES_IN_MLFLOW, "CREATE TABLE _alembic_tmp_trace_tags", id="copied_table"),
        pytest.param(DIES_IN_OURS, 'CREATE TABLE "metrics"', id="table"),
        pytest.param(DIES_IN_OURS, "INSERT INTO experiments", id="default_experiment"),
    ],
)
def test_two_processes_share_a_new_store_whose_first_maker_was_killed(
    maker: str, statement: str, project: Path
) -> None:
    killed = subprocess.run([sys.executable, "-c", maker, str(project), statement], timeout=600)
    assert killed.returncode == -signal.SIGKILL
    assert list(project.glob("mlflow.db*"))  # it died while it made the tables

    command = [sys.executable, "-c", OPEN_ONE, str(project)]
    processes = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(timeout=600) for process in processes] == [0, 0]
    assert rows(project / "mlflow.db", "select status from runs") == [("FINISHED",)] * 2
    assert rows(project / "mlflow.db", "select key, value from metrics") == [("a", 1.0)] * 2
    assert [path.name for path in project.glob("mlflow.db*")] == ["mlflow.db"]
