"""A new store whose maker is killed: the next processes make it whole, and agree on it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.tracking.faulty_server import rows
from tests.tracking.test_store import OPEN_ONE

# Makes a store, and kills its own process behind a statement of MLflow's migrations.
DIES = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import engine, event
from pipeline.tracking.store import Store, load_client

def die(connection, cursor, statement, *_):
    if sys.argv[2] in statement:
        os.kill(os.getpid(), signal.SIGKILL)

store = Store(f"sqlite:///{sys.argv[1]}/mlflow.db", root=Path(sys.argv[1]))
load_client(store.uri)
event.listen(engine.Engine, "after_cursor_execute", die)
store.client
"""


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("ADD COLUMN step", id="column"),
        pytest.param("CREATE TABLE _alembic_tmp_trace_tags", id="copied_table"),
    ],
)
def test_two_processes_share_a_new_store_whose_first_maker_was_killed(
    statement: str, project: Path
) -> None:
    killed = subprocess.run([sys.executable, "-c", DIES, str(project), statement], timeout=600)
    assert killed.returncode == -signal.SIGKILL
    assert list(project.glob("mlflow.db*"))  # it died while it made the tables

    command = [sys.executable, "-c", OPEN_ONE, str(project)]
    processes = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(timeout=600) for process in processes] == [0, 0]
    assert rows(project / "mlflow.db", "select status from runs") == [("FINISHED",)] * 2
    assert rows(project / "mlflow.db", "select key, value from metrics") == [("a", 1.0)] * 2
    assert [path.name for path in project.glob("mlflow.db*")] == ["mlflow.db"]
