"""Rows in a SQLite store of MLflow's schema, as MLflow 3.17 writes them; a test compares both.

Each function works in the transaction of its caller. `NeedsMlflow` is raised for all that MLflow
judges or does more for: odd names, long values, its own tags, deleted experiments.
"""

from __future__ import annotations

import json
import math
import posixpath
import re
import sqlite3
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.tracking.destination import NeedsMlflow, Point
from pipeline.tracking.journal import now_ms
from pipeline.tracking.run import EXPERIMENT_KIND, NAME_TAG

# The revision of the schema that MLflow 3.17 makes. A test compares it with the installed MLflow.
SCHEMA = "dc11669786a5"
MAX_TAG, MAX_PARAM, MAX_PLACE = 8000, 6000, 200  # letters
# Tags of MLflow's own that it keeps as they are.
_KEPT_TAGS = ("mlflow.parentRunId", "mlflow.note.content", "mlflow.source.")
_NAME = re.compile(r"[\w./ -]{1,250}", re.ASCII)


def has_schema(store: sqlite3.Connection) -> bool:
    """Return whether a database has the tables that this module knows."""
    try:
        return store.execute("SELECT version_num FROM alembic_version").fetchall() == [(SCHEMA,)]
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return False
        raise


def check_names(names: Iterable[str]) -> None:
    """Raise `NeedsMlflow` for a name of a metric, parameter or tag that MLflow may refuse."""
    for name in names:
        if not _NAME.fullmatch(name) or posixpath.normpath(name) != name or name[0] in "./":
            raise NeedsMlflow(f"the name {name}")


def check_tags(tags: Mapping[str, str]) -> None:
    """Raise `NeedsMlflow` for a tag that MLflow acts on, and for one that it may refuse."""
    check_names(tags)
    for key, value in tags.items():
        own = key.startswith("mlflow.") and not key.startswith((NAME_TAG, *_KEPT_TAGS))
        if own or len(value) > MAX_TAG:
            raise NeedsMlflow(f"the tag {key}")


def is_active(store: sqlite3.Connection, run_id: str) -> bool:
    """Return whether a run is there, not deleted."""
    found = store.execute(
        "SELECT 1 FROM runs WHERE run_uuid = ? AND lifecycle_stage = 'active'", (run_id,)
    )
    return found.fetchone() is not None


def find_experiment(store: sqlite3.Connection, name: str, *, place: str) -> tuple[int, str]:
    """Return the id of an experiment and the place of its files; create it where it is missing.

    It gets the kind of a training, if it has none.  place: of a new experiment.
    """
    number, folder = _experiment(store, name, place=place)
    store.executemany(
        "INSERT OR IGNORE INTO experiment_tags (key, value, experiment_id) VALUES (?, ?, ?)",
        [(key, kind, number) for key, kind in EXPERIMENT_KIND.items()],
    )
    return number, folder


def _experiment(store: sqlite3.Connection, name: str, *, place: str) -> tuple[int, str]:
    found = store.execute(
        "SELECT experiment_id, artifact_location, lifecycle_stage FROM experiments"
        " WHERE name = ? AND workspace = 'default'",
        (name,),
    ).fetchone()
    if found is not None:
        if found[2] != "active":
            raise NeedsMlflow("a deleted experiment")
        return found[0], found[1].rstrip("/")
    check_names([name])
    if len(place) > MAX_PLACE:
        raise NeedsMlflow("a long path")
    now = now_ms()
    made = store.execute(
        "INSERT INTO experiments (name, artifact_location, lifecycle_stage, creation_time,"
        " last_update_time, workspace) VALUES (?, ?, 'active', ?, ?, 'default')",
        (name, place, now, now),
    )
    assert made.lastrowid is not None
    return made.lastrowid, place


def add_params(store: sqlite3.Connection, run_id: str, params: Mapping[str, str]) -> None:
    """Add parameters that a run does not have."""
    check_names(params)
    for key, value in params.items():
        store.execute("INSERT OR IGNORE INTO params VALUES (?, ?, ?)", (key, value, run_id))
        known = store.execute(
            "SELECT value FROM params WHERE key = ? AND run_uuid = ?", (key, run_id)
        ).fetchone()
        if known != (value,) or len(value) > MAX_PARAM:
            raise NeedsMlflow(f"the parameter {key}")


def put_tags(store: sqlite3.Connection, run_id: str, tags: Mapping[str, str]) -> None:
    """Set or replace tags; one of them is the run's name too."""
    check_tags(tags)
    rows = [(key, value, run_id) for key, value in tags.items()]
    store.executemany("INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", rows)
    if name := tags.get(NAME_TAG):
        store.execute("UPDATE runs SET name = ? WHERE run_uuid = ?", (name, run_id))


def latest_points(store: sqlite3.Connection, run_id: str) -> dict[str, tuple[int, float]]:
    """Return the latest (step, value) of each metric of a run."""
    rows = store.execute(
        "SELECT key, step, value, is_nan FROM latest_metrics WHERE run_uuid = ?", (run_id,)
    )
    return {key: (step, math.nan if is_nan else value) for key, step, value, is_nan in rows}


def add_points(store: sqlite3.Connection, run_id: str, points: Sequence[Point]) -> None:
    """Add numbers as MLflow stores them: NaN as 0 with a mark, infinity as the largest float.

    A row that is there stays as it is, and the latest value is the one of the highest step.
    """
    check_names(point.name for point in points)
    for name, value, ms, step, _ in points:
        is_nan, kept = math.isnan(value), stored(value)
        store.execute(
            "INSERT OR IGNORE INTO metrics (key, value, timestamp, run_uuid, step, is_nan)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (name, kept, ms, run_id, step, is_nan),
        )
        store.execute(
            "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key, run_uuid) DO UPDATE SET"
            " value = excluded.value, timestamp = excluded.timestamp, step = excluded.step,"
            " is_nan = excluded.is_nan WHERE (excluded.step, excluded.timestamp, excluded.value)"
            " > (step, timestamp, value)",
            (name, kept, ms, step, is_nan, run_id),
        )


def stored(value: float) -> float:
    """Return a number as MLflow stores it: NaN as 0, infinity as the largest float."""
    if math.isnan(value):
        return 0.0
    return max(-sys.float_info.max, min(sys.float_info.max, value))


def put_dataset(store: sqlite3.Connection, run_id: str, dataset: Mapping[str, Any]) -> None:
    """Add a data set where the experiment has none of its name and digest, and tie it to a run."""
    name, digest = dataset["name"], dataset["digest"]
    check_names([name])
    (experiment_id,) = store.execute(
        "SELECT experiment_id FROM runs WHERE run_uuid = ?", (run_id,)
    ).fetchone()
    store.execute(
        "INSERT OR IGNORE INTO datasets (dataset_uuid, experiment_id, name, digest,"
        " dataset_source_type, dataset_source, dataset_profile) VALUES (?, ?, ?, ?, 'local', ?, ?)",
        (
            uuid.uuid4().hex,
            experiment_id,
            name,
            digest,
            json.dumps({"uri": dataset["source"]}),
            json.dumps(dataset["profile"]),
        ),
    )
    (dataset_id,) = store.execute(
        "SELECT dataset_uuid FROM datasets WHERE experiment_id = ? AND name = ? AND digest = ?",
        (experiment_id, name, digest),
    ).fetchone()
    input_id = uuid.uuid4().hex
    made = store.execute(
        "INSERT OR IGNORE INTO inputs (input_uuid, source_type, source_id, destination_type,"
        " destination_id) VALUES (?, 'DATASET', ?, 'RUN', ?)",
        (input_id, dataset_id, run_id),
    )
    if made.rowcount:
        store.execute(
            "INSERT INTO input_tags VALUES (?, 'mlflow.data.context', 'training')", (input_id,)
        )
