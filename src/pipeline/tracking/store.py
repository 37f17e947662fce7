"""A store behind MLflow's client: connected when it is first used, asked in few calls.

It is a `Destination`. Every method raises what MLflow raises, see `store_errors`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.tracking import fresh, models, moved
from pipeline.tracking.connection import SQLITE, kept, load_mlflow
from pipeline.tracking.destination import Latest, Point
from pipeline.tracking.run import EXPERIMENT_KIND, KEY_TAG
from pipeline.tracking.stored_files import StoredFiles

_ADDRESS = re.compile(r"[0-9a-f]{32}")
MAX_PARAMS_A_CALL, MAX_TAGS_A_CALL = 100, 100  # MLflow's limits


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
        """See `Destination.is_local`."""
        return self.uri.startswith(SQLITE)

    @cached_property
    def client(self) -> Any:
        """The client; the first use creates the schema. Half a database is never left."""
        mlflow = load_mlflow()
        # Several processes that create the schema of one new store at once can break it for good.
        with FileLock(self.root / ".mlflow.lock", timeout=fresh.LOCK_TIMEOUT_S):
            if self._database:
                fresh.make_missing(self.uri)
                moved.mend(self._database, self.root)
            return mlflow.MlflowClient(tracking_uri=self.uri)

    @cached_property
    def _database(self) -> Path | None:
        return moved.embedded(self.uri, self.root)

    @cached_property
    def _files(self) -> StoredFiles:
        return StoredFiles(self.client, self.uri, root=self.root, database=self._database)

    def experiment(self, name: str) -> str:
        """Return the id of an experiment; create or restore it."""
        if name not in self._experiments:
            _ = self.client  # connects under the same lock, which no thread can take twice
            with FileLock(self.root / ".mlflow.lock", timeout=fresh.LOCK_TIMEOUT_S):
                self._experiments[name] = self._experiment(name)
        return self._experiments[name]

    def forget(self) -> None:
        """See `Destination.forget`."""
        self._experiments.clear()

    def create(self, experiment: str, name: str, *, tags: Mapping[str, str], ms: int) -> str:
        """See `Destination.create`."""
        run = self.client.create_run(
            self.experiment(experiment), start_time=ms, run_name=name, tags=dict(tags)
        )
        return str(run.info.run_id)

    def first_of_key(self, experiment: str, key: str) -> str | None:
        """See `Destination.first_of_key`."""
        return next(iter(self._of_key(experiment, key)), None)

    def remove_others(self, experiment: str, key: str, run_id: str) -> None:
        """See `Destination.remove_others`."""
        for other in self._of_key(experiment, key):
            if other != run_id:
                self.client.delete_run(other)

    def latest_tagged(self, experiment: str, tag: str, value: str, name: str) -> str | None:
        """See `Destination.latest_tagged`."""
        runs = self._search(experiment, tag, value, order="DESC")
        return next((str(r.info.run_id) for r in runs if r.info.run_name == name), None)

    def resolved(self, experiment: str, address: str) -> str | None:
        """See `Destination.resolved`."""
        if not _ADDRESS.fullmatch(address):
            return None
        found = self.first_of_key(experiment, address)
        return found or (address if self.has_run(address) else None)

    def has_run(self, run_id: str) -> bool:
        """See `Destination.has_run`."""
        from mlflow.exceptions import MlflowException

        try:
            return bool(self.client.get_run(run_id).info.lifecycle_stage == "active")
        except MlflowException as error:
            if self._answered(error) and error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise

    def latest(self, run_id: str) -> Latest:
        """See `Destination.latest`."""
        data = self.client.get_run(run_id).data
        metrics = {m.key: (int(m.step), float(m.value)) for m in data._metric_objs}
        return Latest(metrics, dict(data.params))

    def status(self, run_id: str) -> str:
        """See `Destination.status`."""
        return str(self.client.get_run(run_id).info.status)

    def log_metrics(self, run_id: str, points: Sequence[Point]) -> None:
        """See `Destination.log_metrics`; points: at most 1,000."""
        from mlflow.entities import Metric

        of_a_model = any(point.data for point in points)
        model_id = models.newest(self.client, run_id) if of_a_model else None
        rows = [Metric(p.name, p.value, p.ms, p.step, **_of_model(model_id, p)) for p in points]
        self.client.log_batch(run_id, metrics=rows)

    def log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """See `Destination.log_params`."""
        from mlflow.entities import Param

        rows = [Param(key, value) for key, value in params.items()]
        for start in range(0, len(rows), MAX_PARAMS_A_CALL):
            self.client.log_batch(run_id, params=rows[start : start + MAX_PARAMS_A_CALL])

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """See `Destination.set_tags`."""
        from mlflow.entities import RunTag

        rows = [RunTag(key, value) for key, value in tags.items()]
        for start in range(0, len(rows), MAX_TAGS_A_CALL):
            self.client.log_batch(run_id, tags=rows[start : start + MAX_TAGS_A_CALL])

    def log_dataset(self, run_id: str, dataset: Mapping[str, Any]) -> None:
        """See `Destination.log_dataset`."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        entity = Dataset(
            name=dataset["name"],
            digest=dataset["digest"],
            source_type="local",
            source=json.dumps({"uri": dataset["source"]}),
            profile=json.dumps(dataset["profile"]),
        )
        tag = InputTag("mlflow.data.context", "training")
        self.client.log_inputs(run_id, [DatasetInput(entity, [tag])])

    def go_on(self, run_id: str, *, without: str) -> None:
        """See `Destination.go_on`."""
        self.client.update_run(run_id, status="RUNNING")
        if without in self.client.get_run(run_id).data.tags:
            self.client.delete_tag(run_id, without)

    def end(self, run_id: str, status: str, *, ms: int) -> None:
        """See `Destination.end`."""
        self.client.set_terminated(run_id, status, end_time=ms)

    def upload(self, run_id: str, files: Path, folder: str | None) -> None:
        """See `Destination.upload`."""
        self._files.upload(run_id, files, folder)

    def missing(self, run_id: str, files: Path, folder: str | None) -> str | None:
        """See `Destination.missing`."""
        return self._files.missing(run_id, files, folder)

    def log_model(self, run_id: str, files: Path, *, name: str, weights_sha256: str) -> str | None:
        """See `Destination.log_model`."""
        run = self.client.get_run(run_id)
        model = models.begun(self.client, run, name=name, weights_sha256=weights_sha256)
        if str(model.status) == models.READY:
            return None
        models.name_itself(files, model.model_id, run_id, place=model.artifact_location)
        missing = self._files.upload_model(model, files)
        if missing is None:
            self.client.finalize_logged_model(model.model_id, models.READY)
        return missing

    def refuses(self, error: Exception) -> bool:
        """See `Destination.refuses`."""
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
                made = self.client.create_experiment(
                    name, tags=EXPERIMENT_KIND, **self._artifacts(name)
                )
                return str(made)
            except MlflowException:
                # Another machine has created it in the meantime. No file lock reaches that far.
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        elif found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        for key, kind in EXPERIMENT_KIND.items():  # a person may have chosen another one
            if key not in found.tags:
                self.client.set_experiment_tag(found.experiment_id, key, kind)
        return str(found.experiment_id)

    def _artifacts(self, name: str) -> dict[str, str]:
        """A store in a local file keeps artifacts under ``mlruns/``; a server decides itself."""
        if not self.is_local:
            return {}
        return {"artifact_location": (self.root / "mlruns" / name).as_uri()}


def _of_model(model_id: str | None, point: Point) -> dict[str, str]:
    """Return how a number belongs to a model and to a data set, if it does."""
    if model_id is None or point.data is None:
        return {}
    name, digest = point.data
    return {"model_id": model_id, "dataset_name": name, "dataset_digest": digest}


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
