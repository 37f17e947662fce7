"""Reading runs from an MLflow store: metrics, tags, artifacts."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.errors import TrackingError
from pipeline.files import sqlite_file
from pipeline.tracking import moved
from pipeline.tracking.connection import first_line, load_mlflow, store_errors, store_uri
from pipeline.tracking.run import MODEL_TAG

Points = list[tuple[float, float]]


def read_tracked(run_id: str, *, uri: str, root: Path) -> tuple[str, dict[str, Points]]:
    """Return the name of any run and its metrics, ``{name: [(step, value), …]}``.

    Raises `TrackingError` where the store does not answer or has no such run.
    """
    client = connected(uri, root)
    with _needing_run(run_id, uri, root):
        run = client.get_run(run_id)
        names = list(run.data.metrics)
        histories = {name: client.get_metric_history(run_id, name) for name in names}
    # A resumed run may hold two values for one step. The later one counts.
    last = {name: {float(m.step): _number(m.value) for m in ms} for name, ms in histories.items()}
    return str(run.info.run_name), {name: list(points.items()) for name, points in last.items()}


def _number(stored: float) -> float:
    """Return a number that was recorded: MLflow's database keeps infinity as the largest one."""
    number = float(stored)
    return math.copysign(math.inf, number) if abs(number) >= sys.float_info.max else number


def read_tags(run_id: str, *, uri: str, root: Path) -> dict[str, str]:
    """Return the tags of a run. Raises `TrackingError` as `read_tracked` does."""
    client = connected(uri, root)
    with _needing_run(run_id, uri, root):
        return dict(client.get_run(run_id).data.tags)


def read_artifact(run_id: str, name: str, *, uri: str, root: Path, folder: Path) -> Path | None:
    """Copy one artifact of a run into a folder; return None where the run has no such file."""
    client = connected(uri, root)
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    try:
        if moved.embedded(store_uri(uri, root), root) is None:
            return Path(client.download_artifacts(run_id, name, str(folder)))
        place = moved.here(client.get_run(run_id).info.artifact_uri, root)
        if command := moved.command_to_bring(place, root):
            _tell(
                f"run={run_id}: its files are read from {moved.local_path(place)}, outside of "
                f"this project. To bring them here: {command}"
            )
        return Path(get_artifact_repository(place).download_artifacts(name, str(folder)))
    except store_errors():
        return None


def missing_files(run_id: str, *, uri: str, root: Path) -> str | None:
    """Return what to do where the whole folder of a run's files is missing; None where it is not.

    Raises `TrackingError` as `read_tracked` does.
    """
    client = connected(uri, root)
    with _needing_run(run_id, uri, root):
        location = client.get_run(run_id).info.artifact_uri
    path = moved.local_path(moved.here(location, root))
    if moved.embedded(store_uri(uri, root), root) is None or path is None or path.is_dir():
        return None
    return (
        f"Its files should be in {path}, which is not there. Copy the {moved.FOLDER}/ of the "
        f"project that trained it to {root / moved.FOLDER}."
    )


@cache
def _tell(sentence: str) -> None:
    """Say a sentence once in this process."""
    print(f"warning: {sentence}", file=sys.stderr)


def run_of_model(
    weights_sha256: str, *, name: str, experiment: str, uri: str, root: Path
) -> tuple[str, str] | None:
    """Return id and status of the latest run of this name that made a model, or None.

    Raises `TrackingError` where the store does not answer.
    """
    if not re.fullmatch("[0-9a-f]{64}", weights_sha256):  # it becomes part of a query
        return None
    client = connected(uri, root)
    with _needing_store(uri, root):
        found = client.get_experiment_by_name(experiment)
        runs = (
            []
            if found is None
            else client.search_runs(
                [found.experiment_id],
                f"tags.`{MODEL_TAG}` = '{weights_sha256}'",
                order_by=["attributes.start_time DESC"],
            )
        )
    made = [run.info for run in runs if run.info.run_name == name]
    return (str(made[0].run_id), str(made[0].status)) if made else None


@contextmanager
def _needing_store(uri: str, root: Path) -> Iterator[None]:
    try:
        yield
    except store_errors() as error:
        raise TrackingError(
            f"{store_uri(uri, root)}: the store cannot be used: {first_line(error)}. "
            "Start its server, or set MLFLOW_TRACKING_URI to another store."
        ) from error


@contextmanager
def _needing_run(run_id: str, uri: str, root: Path) -> Iterator[None]:
    try:
        yield
    except store_errors() as error:
        raise TrackingError(
            f"run={run_id}: {first_line(error)}. The store is {store_uri(uri, root)}. "
            "Set MLFLOW_TRACKING_URI for another store, and copy the id from the run's page."
        ) from error


def connected(uri: str, root: Path) -> Any:
    """Return MLflow's client of a store that is there; see `store_uri` for its address.

    Raises `TrackingError` where the store is missing or does not answer.
    """
    mlflow = load_mlflow()
    absolute = store_uri(uri, root)
    file = sqlite_file(absolute)
    if file is not None and not file.is_file():  # opening it would create an empty store
        raise TrackingError(f"{absolute}: no such store. Train first, or set MLFLOW_TRACKING_URI.")
    with _needing_store(uri, root):
        if database := moved.embedded(absolute, root):
            moved.mend(database, root)
        return mlflow.MlflowClient(tracking_uri=absolute)
