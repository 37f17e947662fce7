"""MLflow's model registry: versions under a name, and aliases that point at one of them.

Nothing here waits in the journal. A person asks for a version and its alias, and must know whether
they are there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock

from pipeline.errors import TrackingError
from pipeline.tracking.connection import first_line, store_errors, store_uri
from pipeline.tracking.fresh import LOCK_TIMEOUT_S
from pipeline.tracking.models import READY
from pipeline.tracking.reader import connected
from pipeline.tracking.run import MODEL_TAG

_VARIABLE = "MLFLOW_TRACKING_URI"


@dataclass(frozen=True)
class Version:
    """A version of a registered model."""

    name: str
    number: str
    tags: Mapping[str, str]


class Registry:
    """The registry of one store. Methods raise `TrackingError` where it fails."""

    def __init__(self, uri: str, *, root: Path) -> None:
        self.uri = store_uri(uri, root)
        self._root = root
        self._client = connected(uri, root)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let no other command of this project judge or register meanwhile."""
        with FileLock(self._root / ".registry.lock", timeout=LOCK_TIMEOUT_S):
            yield

    def logged_model(self, weights_sha256: str, *, name: str, experiment: str) -> str | None:
        """Return the id of the newest logged model with these weights, of a run of this name."""
        with self._answering():
            found = self._client.get_experiment_by_name(experiment)
            if found is None:
                return None
            query = f"tags.`{MODEL_TAG}` = '{weights_sha256}'"
            models = self._client.search_logged_models([found.experiment_id], filter_string=query)
            for model in models:
                run_id = model.source_run_id if str(model.status) == READY else None
                if run_id and self._client.get_run(run_id).info.run_name == name:
                    return str(model.model_id)
        return None

    def holder(self, name: str, alias: str) -> Version | None:
        """Return the version that an alias points at, or None."""
        from mlflow.exceptions import MlflowException

        with self._answering():
            try:
                found = self._client.get_model_version_by_alias(name, alias)
            except MlflowException as error:
                absent = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
                if error.error_code in absent and "not found" in str(error).lower():
                    return None
                raise
        return Version(name, str(found.version), dict(found.tags))

    def load(self, source: str) -> tuple[Any, Mapping[str, Any]]:
        """Load a torch model by its address, ``models:/…``; return it with its metadata.

        No pickle is run: MLflow loads only exported graphs.
        """
        import mlflow.pytorch
        from mlflow.models import Model

        with self._answering(), self._named_to_mlflow(), TemporaryDirectory() as folder:
            place = mlflow.artifacts.download_artifacts(
                artifact_uri=source, dst_path=folder, tracking_uri=self.uri, registry_uri=self.uri
            )
            network = mlflow.pytorch.load_model(place)
            return network, dict(Model.load(place).metadata or {})

    def register(
        self, model_id: str, *, name: str, alias: str, tags: Mapping[str, str], description: str
    ) -> Version:
        """Make a version of a logged model, and let the alias point at it as the last step."""
        with self._answering():
            if not self._client.search_registered_models(f"name = '{name}'"):
                self._client.create_registered_model(name)
            model = self._client.get_logged_model(model_id)
            with self._named_to_mlflow():
                made = self._client.create_model_version(
                    name,
                    f"models:/{model_id}",
                    run_id=model.source_run_id,
                    tags=dict(tags),
                    description=description,
                    model_id=model_id,
                )
            self._client.set_registered_model_alias(name, alias, made.version)
        return Version(name, str(made.version), dict(tags))

    @contextmanager
    def _named_to_mlflow(self) -> Iterator[None]:
        """Let MLflow look up ``models:/…`` in this store: it asks the environment which one."""
        before = os.environ.get(_VARIABLE)
        os.environ[_VARIABLE] = self.uri
        try:
            yield
        finally:
            del os.environ[_VARIABLE]
            if before is not None:
                os.environ[_VARIABLE] = before

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except store_errors() as error:
            raise TrackingError(
                f"{self.uri}: MLflow's registry cannot be used: {first_line(error)}. "
                "Start its server, or set MLFLOW_TRACKING_URI to another store."
            ) from error
