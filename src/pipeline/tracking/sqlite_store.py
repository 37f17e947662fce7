"""A local SQLite store, written without importing MLflow.

Importing MLflow takes longer than a short training. In a SQLite file everything that a run records
is rows of a few tables, and a file is a copy in the run's folder. They are written here as MLflow
3.17 writes them, each call in one transaction; a test compares the rows.

`NeedsMlflow` is raised, and nothing is written, where the database has another schema than
`SCHEMA`, and for all that MLflow judges or does more for: odd names, long values, its own tags,
deleted experiments, files that are on no disk.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from filelock import FileLock

from pipeline.files import sqlite_file
from pipeline.tracking import fresh, moved
from pipeline.tracking.connection import kept
from pipeline.tracking.destination import Latest, NeedsMlflow, Point
from pipeline.tracking.models import name_itself
from pipeline.tracking.run import KEY_TAG, NAME_TAG
from pipeline.tracking.sqlite_models import add_model_points, begin_model, finish_model
from pipeline.tracking.sqlite_rows import (
    add_params,
    add_points,
    find_experiment,
    has_schema,
    is_active,
    latest_points,
    put_dataset,
    put_tags,
)

BUSY_S = 60.0  # as long as MLflow waits for another writer
_ADDRESS = re.compile(r"[0-9a-f]{32}")
_RUNS = """
    FROM runs JOIN experiments USING (experiment_id) JOIN tags USING (run_uuid)
    WHERE experiments.name = ? AND experiments.workspace = 'default'
      AND runs.lifecycle_stage = 'active' AND tags.key = ? AND tags.value = ?"""


class _NoSuchRun(Exception):
    """The run is not in the store, or was deleted."""


class SqliteStore:
    """A `Destination` in a SQLite file. A connection lives as long as one call."""

    def __init__(self, uri: str, *, root: Path) -> None:
        self.uri = uri
        self.root = root
        self.kept_uri = kept(uri, root)
        file = sqlite_file(uri)
        assert file is not None
        self._file = file
        self._opened = False

    @property
    def is_local(self) -> bool:
        """See `Destination.is_local`."""
        return True

    def forget(self) -> None:
        """See `Destination.forget`."""
        self._opened = False

    def refuses(self, error: Exception) -> bool:
        """See `Destination.refuses`; a single value is never refused here, but left to MLflow."""
        return isinstance(error, _NoSuchRun)

    # ---- which run ---------------------------------------------------------------------------

    def create(self, experiment: str, name: str, *, tags: Mapping[str, str], ms: int) -> str:
        """See `Destination.create`."""
        run_id = uuid.uuid4().hex
        with self._transaction() as store:
            place = (self.root / "mlruns" / experiment).as_uri()
            experiment_id, place = find_experiment(store, experiment, place=place)
            store.execute(
                "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name,"
                " user_id, status, start_time, source_version, lifecycle_stage, artifact_uri,"
                " experiment_id) VALUES (?, ?, 'UNKNOWN', '', '', ?, 'RUNNING', ?, '', 'active',"
                " ?, ?)",
                (run_id, name, "unknown", ms, f"{place}/{run_id}/artifacts", experiment_id),
            )
            put_tags(store, run_id, {NAME_TAG: name, **tags})
        return run_id

    def has_run(self, run_id: str) -> bool:
        """See `Destination.has_run`."""
        with self._transaction() as store:
            return is_active(store, run_id)

    def first_of_key(self, experiment: str, key: str) -> str | None:
        """See `Destination.first_of_key`."""
        return next(iter(self._of_key(experiment, key)), None)

    def latest_tagged(self, experiment: str, tag: str, value: str, name: str) -> str | None:
        """See `Destination.latest_tagged`."""
        order = " AND runs.name = ? ORDER BY runs.start_time DESC, run_uuid DESC LIMIT 1"
        with self._transaction() as store:
            found = store.execute(
                f"SELECT run_uuid {_RUNS}{order}", (experiment, tag, value, name)
            ).fetchone()
        return found[0] if found else None

    def resolved(self, experiment: str, address: str) -> str | None:
        """See `Destination.resolved`."""
        if not _ADDRESS.fullmatch(address):
            return None
        found = self.first_of_key(experiment, address)
        return found or (address if self.has_run(address) else None)

    def remove_others(self, experiment: str, key: str, run_id: str) -> None:
        """See `Destination.remove_others`."""
        if any(other != run_id for other in self._of_key(experiment, key)):
            raise NeedsMlflow("a run was made twice")

    def _of_key(self, experiment: str, key: str) -> list[str]:
        order = " ORDER BY runs.start_time, run_uuid"
        with self._transaction() as store:
            found = store.execute(f"SELECT run_uuid {_RUNS}{order}", (experiment, KEY_TAG, key))
            return [row[0] for row in found]

    # ---- what is in it -----------------------------------------------------------------------

    def latest(self, run_id: str) -> Latest:
        """See `Destination.latest`."""
        with self._transaction(run_id) as store:
            params = store.execute("SELECT key, value FROM params WHERE run_uuid = ?", (run_id,))
            return Latest(latest_points(store, run_id), dict(params.fetchall()))

    def status(self, run_id: str) -> str:
        """See `Destination.status`."""
        with self._transaction(run_id) as store:
            found = store.execute("SELECT status FROM runs WHERE run_uuid = ?", (run_id,))
            return str(found.fetchone()[0])

    def log_metrics(self, run_id: str, points: Sequence[Point]) -> None:
        """See `Destination.log_metrics`."""
        with self._transaction(run_id) as store:
            add_points(store, run_id, points)
            if any(point.data for point in points):
                add_model_points(store, run_id, points)

    def log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """See `Destination.log_params`."""
        with self._transaction(run_id) as store:
            add_params(store, run_id, params)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """See `Destination.set_tags`."""
        with self._transaction(run_id) as store:
            put_tags(store, run_id, tags)

    def log_dataset(self, run_id: str, dataset: Mapping[str, Any]) -> None:
        """See `Destination.log_dataset`."""
        with self._transaction(run_id) as store:
            put_dataset(store, run_id, dataset)

    def upload(self, run_id: str, files: Path, folder: str | None) -> None:
        """See `Destination.upload`."""
        with self._transaction(run_id) as store:
            found = store.execute("SELECT artifact_uri FROM runs WHERE run_uuid = ?", (run_id,))
            (location,) = found.fetchone()
        shutil.copytree(files, self._folder(location) / (folder or ""), dirs_exist_ok=True)

    def missing(self, run_id: str, files: Path, folder: str | None) -> str | None:
        """See `Destination.missing`."""
        return None

    def log_model(self, run_id: str, files: Path, *, name: str, weights_sha256: str) -> str | None:
        """See `Destination.log_model`."""
        with self._transaction(run_id) as store:
            model_id, place, is_ready = begin_model(
                store, run_id, name=name, weights_sha256=weights_sha256
            )
        if is_ready:
            return None
        name_itself(files, model_id, run_id, place=place)
        shutil.copytree(files, self._folder(place), dirs_exist_ok=True)
        with self._transaction(run_id) as store:
            finish_model(store, model_id)
        return None

    def go_on(self, run_id: str, *, without: str) -> None:
        """See `Destination.go_on`."""
        with self._transaction(run_id) as store:
            store.execute("UPDATE runs SET status = 'RUNNING' WHERE run_uuid = ?", (run_id,))
            store.execute("DELETE FROM tags WHERE run_uuid = ? AND key = ?", (run_id, without))

    def end(self, run_id: str, status: str, *, ms: int) -> None:
        """See `Destination.end`."""
        with self._transaction(run_id) as store:
            store.execute(
                "UPDATE runs SET status = ?, end_time = ? WHERE run_uuid = ?", (status, ms, run_id)
            )

    def _folder(self, location: str) -> Path:
        """Return where files of the store lie; in a project that was moved, in its new place."""
        folder = moved.folder_here(location, self.root, moved.embedded(self.uri, self.root))
        if folder is None:
            raise NeedsMlflow("files on no disk")
        return folder

    # ---- the file ----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _transaction(self, run_id: str | None = None) -> Iterator[sqlite3.Connection]:
        """Open the store for one transaction.

        run_id: must be active. Raises `_NoSuchRun` where it is not.
        """
        self._make_ready()
        with contextlib.closing(_connected(self._file)) as store, store:
            if not has_schema(store):
                raise NeedsMlflow("another schema")
            store.execute("BEGIN IMMEDIATE")
            if run_id is not None and not is_active(store, run_id):
                raise _NoSuchRun(run_id)
            yield store

    def _make_ready(self) -> None:
        if not self._file.exists():
            fresh.make_store(self.uri, self.root)
        if not self._opened and (database := moved.embedded(self.uri, self.root)):
            with FileLock(self.root / ".mlflow.lock", timeout=fresh.LOCK_TIMEOUT_S):
                moved.mend(database, self.root)
        self._opened = True


def is_plain(uri: str) -> bool:
    """Return whether `SqliteStore` can write to a store: a file of its schema, or none yet."""
    file = sqlite_file(uri)
    if file is None or "?" in uri:
        return False
    if not file.exists():
        return True
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_connected(file)) as store:
        return has_schema(store)
    return False


def _connected(file: Path) -> sqlite3.Connection:
    """Open a database that exists; transactions begin where the code says so."""
    address = f"file:{quote(str(file))}?mode=rw"
    return sqlite3.connect(address, uri=True, timeout=BUSY_S)
