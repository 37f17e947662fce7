"""One MLflow store, as the shipper needs it: connected when it is first used, asked in few calls.

Every method raises what MLflow raises, see `store_errors`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.errors import TrackingError
from pipeline.passwords import masked
from pipeline.tracking import fresh, moved
from pipeline.tracking.connection import SQLITE, kept, load_mlflow

# Seconds to wait for another process that creates the store.
LOCK_TIMEOUT_S = 300
KEY_TAG = "pipeline.key"
_ADDRESS = re.compile(r"[0-9a-f]{32}")
_SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks", "uc")


@dataclass(frozen=True)
class Latest:
    """What a run holds already: name → (step, value) of the latest metric, and its parameters."""

    metrics: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)


class Store:
    """A store, and the experiments that were used in it.

    uri: absolute.  root: of the project.  kept_uri: as files and messages show it.
    """

    def __init__(self, uri: str, *, root: Path) -> None:
        self.uri = uri
        self.root = root
        self.kept_uri = kept(uri, root)
        self._experiments: dict[str, str] = {}

    @property
    def is_local(self) -> bool:
        """Whether the store is a file on this disk, and no server."""
        return self.uri.startswith(SQLITE)

    @cached_property
    def client(self) -> Any:
        """The client; the first use creates the schema. Half a database is never left."""
        mlflow = load_mlflow()
        # Several processes that create the schema of one new store at once can break it for good.
        with FileLock(self.root / ".mlflow.lock", timeout=LOCK_TIMEOUT_S):
            if self._database:
                fresh.make_missing(self.uri)
                moved.mend(self._database, self.root)
            return mlflow.MlflowClient(tracking_uri=self.uri)

    @cached_property
    def _database(self) -> Path | None:
        return moved.embedded(self.uri, self.root)

    def experiment(self, name: str) -> str:
        """Return the id of an experiment; create or restore it."""
        if name not in self._experiments:
            _ = self.client  # connects under the same lock, which no thread can take twice
            with FileLock(self.root / ".mlflow.lock", timeout=LOCK_TIMEOUT_S):
                self._experiments[name] = self._experiment(name)
        return self._experiments[name]

    def forget(self) -> None:
        """Ask for experiments anew, since the store has failed and may be another one now."""
        self._experiments.clear()

    def create(self, experiment: str, name: str, *, tags: Mapping[str, str], ms: int) -> str:
        """Create a run; return its id."""
        run = self.client.create_run(
            self.experiment(experiment), start_time=ms, run_name=name, tags=dict(tags)
        )
        return str(run.info.run_id)

    def first_of_key(self, experiment: str, key: str) -> str | None:
        """Return the id of the first run with a key, or None."""
        return next(iter(self._of_key(experiment, key)), None)

    def remove_others(self, experiment: str, key: str, run_id: str) -> None:
        """Delete the other runs of a key: calls whose answer was lost have made them."""
        for other in self._of_key(experiment, key):
            if other != run_id:
                self.client.delete_run(other)

    def latest_tagged(self, experiment: str, tag: str, value: str, name: str) -> str | None:
        """Return the id of the latest run with a tag and a name, or None."""
        runs = self._search(experiment, tag, value, order="DESC")
        return next((str(r.info.run_id) for r in runs if r.info.run_name == name), None)

    def resolved(self, experiment: str, address: str) -> str | None:
        """Return the id of an active run that is named by its key or its id, or None."""
        if not _ADDRESS.fullmatch(address):
            return None
        found = self.first_of_key(experiment, address)
        return found or (address if self.has_run(address) else None)

    def has_run(self, run_id: str) -> bool:
        """Return whether the store has this run, not deleted."""
        from mlflow.exceptions import MlflowException

        try:
            return bool(self.client.get_run(run_id).info.lifecycle_stage == "active")
        except MlflowException as error:
            if self._answered(error) and error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise

    def latest(self, run_id: str) -> Latest:
        """Return what a run holds already."""
        data = self.client.get_run(run_id).data
        metrics = {m.key: (int(m.step), float(m.value)) for m in data._metric_objs}
        return Latest(metrics, dict(data.params))

    def upload(self, run_id: str, files: Path, folder: str | None) -> None:
        """Copy all files below ``files`` into a run's artifacts."""
        if self._database is None:
            self.client.log_artifacts(run_id, str(files), artifact_path=folder)
            return
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        location = self.client.get_run(run_id).info.artifact_uri
        place = moved.brought_here(location, self.root)
        if place != location:
            moved.rename(self._database, location, place)
        get_artifact_repository(place).log_artifacts(str(files), artifact_path=folder)

    def missing(self, run_id: str, files: Path, folder: str | None) -> str | None:
        """Return the first file below ``files`` that a server does not list, or None."""
        if not self.uri.startswith("http"):
            return None
        for inner in (files, *(p for p in sorted(files.rglob("*")) if p.is_dir())):
            relative = inner.relative_to(files).as_posix()
            path = "/".join(part for part in (folder, relative) if part and part != ".")
            sizes = {f.path: f.file_size for f in self.client.list_artifacts(run_id, path or None)}
            for file in sorted(p for p in inner.iterdir() if p.is_file()):
                name = f"{path}/{file.name}" if path else file.name
                if name not in sizes or sizes[name] not in (None, file.stat().st_size):
                    return name
        return None

    def refuses(self, error: Exception) -> bool:
        """Return whether the store has said that it will never take this write."""
        from mlflow.exceptions import MlflowException

        if not isinstance(error, MlflowException) or not self._answered(error):
            return False
        return error.error_code in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")

    def _answered(self, error: Exception) -> bool:
        """Return whether MLflow itself has answered, and not something on the way to it."""
        from mlflow.exceptions import RestException

        return isinstance(error, RestException) or not self.uri.startswith("http")

    def _of_key(self, experiment: str, key: str) -> list[str]:
        return [str(r.info.run_id) for r in self._search(experiment, KEY_TAG, key, order="ASC")]

    def _search(self, experiment: str, tag: str, value: str, *, order: str) -> list[Any]:
        if not re.fullmatch(r"[\w.:-]+", value):  # it becomes part of a query
            return []
        found: list[Any] = self.client.search_runs(
            [self.experiment(experiment)],
            f"tags.`{tag}` = '{value}'",
            order_by=[f"attributes.start_time {order}", f"attributes.run_id {order}"],
            max_results=100,
        )
        return found

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self.client.create_experiment(name, **self._artifacts(name)))
            except MlflowException:
                # Another machine has created it in the meantime. No file lock reaches that far.
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        elif found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _artifacts(self, name: str) -> dict[str, str]:
        """A store in a local file keeps artifacts under ``mlruns/``; a server decides itself."""
        if not self.is_local:
            return {}
        return {"artifact_location": (self.root / "mlruns" / name).as_uri()}


def check_address(uri: str) -> None:
    """Raise `TrackingError` for an address that can never be a store; nothing is connected."""
    scheme = uri.partition(":")[0]
    path = Path(uri.removeprefix(SQLITE))
    if scheme.partition("+")[0] not in _SCHEMES:
        reason = f"MLflow's stores begin with one of {', '.join(_SCHEMES)}"
    elif uri.startswith(SQLITE) and not path.parent.is_dir():
        reason = f"{path.parent} is not a folder"
    else:
        return
    raise TrackingError(
        f"tracking.uri={masked(uri)}: the store cannot be used: {reason}. "
        "Correct it, set MLFLOW_TRACKING_URI to another store, or train with tracking=none."
    )


def load_client(uri: str) -> None:
    """Import what a store of this address needs.

    Imports of two threads can meet half of each other's modules, so the shipper does none itself.
    """
    load_mlflow()
    import mlflow.store.artifact.artifact_repository_registry
    import mlflow.tracking

    if uri.startswith("http"):
        import mlflow.store.tracking.rest_store
    elif not uri.startswith(("databricks", "uc")):
        import mlflow.store.db_migrations
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
