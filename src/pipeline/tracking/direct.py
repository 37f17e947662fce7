"""Adding to a finished run of a local store, without MLflow.

`diagnose`, `report` and `evaluate` add tags, numbers and files to a run that is in the store.
Importing MLflow for that takes longer than everything else that these commands do. In a SQLite
file the tags and numbers are rows of three tables, and a file is a copy in the run's folder.

MLflow does it instead, as always, where the store is no file, has another schema than `SCHEMA`,
lacks the run, or where an ended process has left something to send. The rows are written in one
transaction, and MLflow can send the same lines once more without effect.
"""

from __future__ import annotations

import contextlib
import math
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlparse

from pipeline.tracking.connection import SQLITE, kept
from pipeline.tracking.journal import Head, Journal, Line, hold, read_head, read_lines
from pipeline.tracking.leftovers import leftovers, settle
from pipeline.tracking.run import MODEL_TAG
from pipeline.tracking.store import KEY_TAG

if TYPE_CHECKING:
    from pipeline.tracking.shipper import Shipper

# The revision of the schema that MLflow 3.17 makes. A test compares it with the installed MLflow.
SCHEMA = "dc11669786a5"
BUSY_S = 60.0  # as long as MLflow waits for another writer
MAX_VALUE = 8000  # letters of a tag
_NAME = re.compile(r"(?!/)(?!.*\.\.)[\w./ -]{1,250}", re.ASCII)
_PLAIN = ("head", "tags", "metrics", "files", "end")
_OF_MODEL = """
    SELECT runs.run_uuid, runs.artifact_uri FROM runs
    JOIN experiments USING (experiment_id) JOIN tags USING (run_uuid)
    WHERE experiments.name = ? AND experiments.lifecycle_stage = 'active'
      AND experiments.workspace = 'default' AND runs.lifecycle_stage = 'active'
      AND tags.key = ? AND tags.value = ? AND (? IS NULL OR runs.name = ?)
    ORDER BY runs.start_time DESC, runs.run_uuid DESC LIMIT 1"""


class _NotPlain(Exception):
    """Only MLflow can do this."""


class DirectSender:
    """Takes the place of the shipper for a journal that adds to a run.

    mlflow: makes the shipper, for all that is not plain.
    """

    def __init__(self, uri: str, root: Path, *, mlflow: Callable[[], Shipper]) -> None:
        self._uri, self._root = uri, root
        self._mlflow = mlflow

    def wake(self) -> None:
        """Nothing is sent before the journal's last line is written."""

    def finish(self, journal: Journal) -> None:
        """Send a journal whose last line is written."""
        loaded = "mlflow" in sys.modules  # then nothing is saved
        if not loaded and add(journal.folder, uri=self._uri, root=self._root):
            settle(journal)
            return
        shipper = self._mlflow()
        shipper.add(journal)
        shipper.finish(journal)


def add(folder: Path, *, uri: str, root: Path) -> bool:
    """Add the lines of a journal to its run; return False where only MLflow can."""
    head, (lines, _) = read_head(folder), read_lines(folder)
    if head is None or not uri.startswith(SQLITE) or _others_wait(folder, uri=uri, root=root):
        return False
    try:
        with _connected(Path(uri.removeprefix(SQLITE))) as store:
            run_id, artifacts = _run(store, head)
            for line in lines:
                _add(store, run_id, line)
            for line in lines:
                if line["op"] == "files":
                    target = artifacts / (line["folder"] or "")
                    shutil.copytree(folder / line["kept"], target, dirs_exist_ok=True)
    except (_NotPlain, sqlite3.Error, OSError, shutil.Error):
        return False
    return True


def _others_wait(folder: Path, *, uri: str, root: Path) -> bool:
    """Whether an ended process has left lines for this store: they go first."""
    for other, head in leftovers(root):
        if other != folder and head.uri == kept(uri, root) and (journal := hold(other)):
            journal.close()
            return True
    return False


@contextlib.contextmanager
def _connected(file: Path) -> Iterator[sqlite3.Connection]:
    """Open a store of a known schema for one transaction."""
    address = f"file:{quote(str(file))}?mode=rw"
    with contextlib.closing(sqlite3.connect(address, uri=True, timeout=BUSY_S)) as store, store:
        if store.execute("SELECT version_num FROM alembic_version").fetchall() != [(SCHEMA,)]:
            raise _NotPlain
        store.execute("BEGIN IMMEDIATE")
        yield store


def _run(store: sqlite3.Connection, head: Head) -> tuple[str, Path]:
    """Return the id of the run that a head names, and the folder of its artifacts."""
    wanted: tuple[str | None, ...]
    if head.target == "model":
        wanted = (head.experiment, MODEL_TAG, head.tags[MODEL_TAG], head.name, head.name)
    elif head.target == "existing":
        wanted = (head.experiment, KEY_TAG, head.tags["address"], None, None)
    else:
        raise _NotPlain
    found = store.execute(_OF_MODEL, wanted).fetchone()
    if found is None:
        raise _NotPlain
    address = urlparse(found[1])
    if address.scheme not in ("", "file") or address.netloc:
        raise _NotPlain
    return found[0], Path(unquote(address.path) if address.scheme else found[1])


def _add(store: sqlite3.Connection, run_id: str, line: Line) -> None:
    if line["op"] not in _PLAIN or not all(map(_NAME.fullmatch, line.get("values", ()))):
        raise _NotPlain
    if line["op"] == "tags":
        _add_tags(store, run_id, line["values"])
    elif line["op"] == "metrics":
        for name, value in line["values"].items():
            _add_metric(store, run_id, (name, value, line["t"], line["step"]))


def _add_tags(store: sqlite3.Connection, run_id: str, tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        if key.startswith("mlflow.") or len(value) > MAX_VALUE:  # MLflow acts on some of its own
            raise _NotPlain
        store.execute("INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", (key, value, run_id))


def _add_metric(store: sqlite3.Connection, run_id: str, point: tuple[str, float, int, int]) -> None:
    """Add a number as MLflow stores it: NaN as 0 with a mark, infinity as the largest float."""
    name, value, ms, step = point
    is_nan = math.isnan(value)
    stored = 0.0 if is_nan else max(-sys.float_info.max, min(sys.float_info.max, value))
    latest = store.execute(
        "SELECT step, timestamp, value, is_nan FROM latest_metrics WHERE key = ? AND run_uuid = ?",
        (name, run_id),
    ).fetchone()
    if latest is not None and (latest[0], *latest[2:]) == (step, stored, is_nan):
        return  # evaluated again, with the same outcome
    store.execute(
        "INSERT OR IGNORE INTO metrics (key, value, timestamp, run_uuid, step, is_nan)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (name, stored, ms, run_id, step, is_nan),
    )
    if latest is None or (step, ms, stored) > latest[:3]:
        store.execute(
            "INSERT OR REPLACE INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (name, stored, ms, step, is_nan, run_id),
        )
