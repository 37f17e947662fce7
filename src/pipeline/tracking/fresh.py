"""The making of a new SQLite store: it is whole under its name, or not there.

MLflow makes its tables in hundreds of steps. A kill between two of them leaves a database on which
the same steps fail for ever. So they run in a file beside the store's place, which takes the name
when it is done.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.files import sqlite_file

UNFINISHED = ".unfinished"
# What SQLite keeps beside a database while it is open, or after a kill.
_BESIDE = ("", "-journal", "-wal", "-shm")


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
        _make(temporary_uri)
        if not database.exists():  # a program that takes no lock may have made it in the meantime
            temporary.replace(database)
    finally:
        _remove(temporary)


def _make(uri: str) -> None:
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    # No `MlflowClient`: it keeps the stores that it has opened, and would not make a file again.
    store = SqlAlchemyStore(uri, DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)
    store.engine.dispose()  # else a connection would outlive the name of its file


def _remove(database: Path) -> None:
    for ending in _BESIDE:
        database.with_name(database.name + ending).unlink(missing_ok=True)
