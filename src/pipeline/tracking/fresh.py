"""The making of a new SQLite store: it is whole under its name, or not there.

MLflow imports for seconds, and then makes its tables in hundreds of steps. The tables that MLflow
3.17 leaves are therefore kept as statements in ``mlflow_store.sql``; a test compares them with
MLflow's own. For another version MLflow makes them. All this happens in a file beside the store's
place, which takes the name when it is done: a kill in between leaves half a database, on which the
same steps would fail for ever.

`make store` writes ``mlflow_store.sql`` anew.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from filelock import FileLock

from pipeline.files import sqlite_file, write_atomically

UNFINISHED = ".unfinished"
LOCK_TIMEOUT_S = 300  # to wait for another process that makes or mends the store
STATEMENTS = Path(__file__).with_name("mlflow_store.sql")
OF_VERSION = "3.17."
# What SQLite keeps beside a database while it is open, or after a kill.
_BESIDE = ("", "-journal", "-wal", "-shm")
_DEFAULT = "INSERT INTO experiments VALUES (0, 'Default', ?, 'active', ?, ?, 'default')"


def make_store(uri: str, root: Path) -> None:
    """Make the database of a store, without importing MLflow here.

    Another version of MLflow makes it in a process of its own, so that the training of this process
    neither waits for the import nor shares its interpreter.  Raises ``OSError`` with the last line
    of that process where it fails.
    """
    if _is_known():
        with FileLock(root / ".mlflow.lock", timeout=LOCK_TIMEOUT_S):
            make_missing(uri)
        return
    code = (
        "import sys; from pathlib import Path; from pipeline.tracking.store import Store; "
        "Store(sys.argv[1], root=Path(sys.argv[2])).client"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, uri, str(root)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,  # Ctrl-C ends the training only; the store becomes whole
    )
    if done.returncode:
        raise OSError((done.stderr.splitlines() or ["it cannot be made"])[-1])


def make_missing(uri: str) -> None:
    """Make the database of a store where it is missing; nothing for a store that is no file.

    The caller holds the lock of the store, so an unfinished file is that of a dead process.
    """
    database = sqlite_file(uri)
    if database is None:
        return
    place, mark, options = uri.partition("?")
    temporary_uri = f"{place}{UNFINISHED}{mark}{options}"
    temporary = database.with_name(f"{database.name}{UNFINISHED}")
    _remove(temporary)
    if database.exists():
        return
    try:
        if mark or not _is_known():
            _make(temporary_uri)
        else:
            _make_from_statements(temporary)
        if not database.exists():  # a program that takes no lock may have made it in the meantime
            temporary.replace(database)
    finally:
        _remove(temporary)


def _is_known() -> bool:
    return os.name == "posix" and importlib.metadata.version("mlflow").startswith(OF_VERSION)


def _make_from_statements(database: Path) -> None:
    now_ms = time.time_ns() // 1_000_000
    with contextlib.closing(sqlite3.connect(database)) as store, store:
        store.executescript(STATEMENTS.read_text())
        store.execute(_DEFAULT, (str(Path.cwd() / "mlruns" / "0"), now_ms, now_ms))


def _make(uri: str) -> None:
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    # No `MlflowClient`: it keeps the stores that it has opened, and would not make a file again.
    store = SqlAlchemyStore(uri, DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)
    store.engine.dispose()  # else a connection would outlive the name of its file


def write_statements() -> None:
    """Write `STATEMENTS` anew: an empty store as the installed MLflow makes it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mlflow.db"
        _make(f"sqlite:///{file}")
        with contextlib.closing(sqlite3.connect(file)) as store:
            lines = "\n".join(store.iterdump()).splitlines()
    kept = [line.rstrip() for line in lines if not line.startswith('INSERT INTO "experiments"')]
    write_atomically(STATEMENTS, "\n".join([*kept, ""]).encode())


def _remove(database: Path) -> None:
    for ending in _BESIDE:
        database.with_name(database.name + ending).unlink(missing_ok=True)
