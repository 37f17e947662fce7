"""Logged models as rows of a SQLite store, as MLflow 3.17 writes them; a test compares both.

Each function works in the transaction of its caller.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Sequence

from pipeline.tracking.destination import Point
from pipeline.tracking.journal import now_ms
from pipeline.tracking.models import MAX_PARAM_LENGTH, allowed_name
from pipeline.tracking.run import MODEL_TAG
from pipeline.tracking.sqlite_rows import stored

_PENDING, _READY = 1, 2


def begin_model(
    store: sqlite3.Connection, run_id: str, *, name: str, weights_sha256: str
) -> tuple[str, str, bool]:
    """Make the logged model of a run where there is none of these weights yet.

    Returns its id, the address of its files, and whether they are all there.
    """
    known = store.execute(
        "SELECT model_id, artifact_location, status FROM logged_models"
        " JOIN logged_model_tags USING (model_id) WHERE source_run_id = ?"
        " AND lifecycle_stage = 'active' AND tag_key = ? AND tag_value = ?"
        " ORDER BY creation_timestamp_ms DESC, model_id LIMIT 1",
        (run_id, MODEL_TAG, weights_sha256),
    ).fetchone()
    if known is not None:
        return known[0], known[1], known[2] == _READY
    experiment_id, place = store.execute(
        "SELECT experiment_id, artifact_location FROM experiments JOIN runs USING (experiment_id)"
        " WHERE run_uuid = ?",
        (run_id,),
    ).fetchone()
    model_id, now = f"m-{uuid.uuid4().hex}", now_ms()
    place = f"{place.rstrip('/')}/models/{model_id}/artifacts"
    store.execute(
        "INSERT INTO logged_models (model_id, experiment_id, name, artifact_location,"
        " creation_timestamp_ms, last_updated_timestamp_ms, status, lifecycle_stage,"
        " source_run_id) VALUES (?, ?, ?, ?, ?, ?, ?, 'active', ?)",
        (model_id, experiment_id, allowed_name(name), place, now, now, _PENDING, run_id),
    )
    store.execute(
        "INSERT INTO logged_model_tags (model_id, experiment_id, tag_key, tag_value)"
        " VALUES (?, ?, ?, ?)",
        (model_id, experiment_id, MODEL_TAG, weights_sha256),
    )
    store.execute(
        "INSERT INTO logged_model_params (model_id, experiment_id, param_key, param_value)"
        " SELECT ?, ?, key, substr(value, 1, ?) FROM params WHERE run_uuid = ?",
        (model_id, experiment_id, MAX_PARAM_LENGTH, run_id),
    )
    store.execute(
        "INSERT INTO inputs (input_uuid, source_type, source_id, destination_type,"
        " destination_id, step) VALUES (?, 'RUN_OUTPUT', ?, 'MODEL_OUTPUT', ?, 0)",
        (uuid.uuid4().hex, run_id, model_id),
    )
    return model_id, place, False


def finish_model(store: sqlite3.Connection, model_id: str) -> None:
    """Say that all files of a logged model are there."""
    store.execute(
        "UPDATE logged_models SET status = ?, last_updated_timestamp_ms = ? WHERE model_id = ?",
        (_READY, now_ms(), model_id),
    )


def add_model_points(store: sqlite3.Connection, run_id: str, points: Sequence[Point]) -> None:
    """Let numbers that have a data set also be those of the newest logged model of the run."""
    found = store.execute(
        "SELECT model_id, experiment_id FROM logged_models WHERE source_run_id = ?"
        " AND lifecycle_stage = 'active' ORDER BY creation_timestamp_ms DESC, model_id LIMIT 1",
        (run_id,),
    ).fetchone()
    if found is None:
        return
    for point in points:
        if point.data is None:
            continue
        store.execute(
            "INSERT OR IGNORE INTO logged_model_metrics (model_id, experiment_id, metric_name,"
            " metric_timestamp_ms, metric_step, metric_value, run_id, dataset_name,"
            " dataset_digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*found, point.name, point.ms, point.step, stored(point.value), run_id, *point.data),
        )
