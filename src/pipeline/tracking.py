"""The record of every run: one small writer with MLflow behind it.

A failing tracker never stops a training: the first failure is told, later ones are counted, and
`Run.finish` says what is missing. Everything is written through MLflow's client, in few calls.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.errors import TrackingError
from pipeline.records import EpochRecord

MODEL_TAG = "model.sha256"


def tracking_uri(configured: str) -> str:
    """Return where runs are recorded: ``MLFLOW_TRACKING_URI`` wins over the configuration."""
    return os.environ.get("MLFLOW_TRACKING_URI") or configured


def _mlflow() -> Any:
    """Import MLflow, without its telemetry and without what it prints about migrations."""
    import logging

    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # MLflow's own patience with a server that is away is several minutes; a person waits for this.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return mlflow


class Run:
    """One tracked run. Every method but `finish` swallows what MLflow or its store raise, and counts it."""

    def __init__(self, client: Any, run_id: str) -> None:
        self.client = client
        self.run_id = run_id
        self.failures = 0

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record the resolved configuration, flattened; values up to MLflow's 6,000 characters."""
        with self._told("parameters"):
            from mlflow.entities import Param

            flat = list(_flatten(params))
            for start in range(0, len(flat), 100):  # MLflow takes a hundred at a time
                batch = [Param(key, value[:6000]) for key, value in flat[start : start + 100]]
                self.client.log_batch(self.run_id, params=batch)

    def log_epoch(self, row: EpochRecord) -> None:
        """Record one epoch in one call; the step axis counts epochs from 1."""
        self.log_metrics(row.metrics, step=row.epoch + 1)

    def log_metrics(self, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Record numbers as they are: float64, to the last digit."""
        with self._told("metrics"):
            from mlflow.entities import Metric

            now = int(time.time() * 1000)
            found = [Metric(k, v, now, step) for k, v in metrics.items()]
            for start in range(0, len(found), 1000):  # MLflow takes a thousand at a time
                self.client.log_batch(self.run_id, metrics=found[start : start + 1000])

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags, in one call."""
        with self._told("tags"):
            from mlflow.entities import RunTag

            self.client.log_batch(self.run_id, tags=[RunTag(k, v) for k, v in tags.items()])

    def log_files(self, paths: Sequence[Path], *, folder: str | None = None) -> None:
        """Copy files into the run's artifacts."""
        with self._told("artifacts"):
            for path in paths:
                self.client.log_artifact(self.run_id, str(path), artifact_path=folder)

    def log_text(self, text: str, name: str) -> None:
        """Write one text artifact."""
        with self._told("artifacts"):
            self.client.log_text(self.run_id, text, name)

    def log_dataset(self, *, name: str, digest: str, source: str, profile: Mapping[str, Any]) -> None:
        """Record the data set as the run's input, where the UI shows "Datasets"."""
        with self._told("data set"):
            from mlflow.entities import Dataset, DatasetInput, InputTag

            dataset = Dataset(
                name=name,
                digest=digest[:8],
                source_type="local",
                source=json.dumps({"uri": source}),
                profile=json.dumps(profile),
            )
            tag = InputTag("mlflow.data.context", "training")
            self.client.log_inputs(self.run_id, [DatasetInput(dataset, [tag])])

    def log_model(self, network: Any, example: Any, *, requirements: Sequence[str]) -> None:
        """Record a torch network with signature and input example, to be loaded or served by MLflow.

        example: ``[4, C, H, W]`` float32 numpy, standardised as in training.
        """
        with self._told("model"), tempfile.TemporaryDirectory() as folder:
            import torch

            mlflow = _mlflow()
            from mlflow.models import infer_signature

            with torch.no_grad():
                output = network(torch.from_numpy(example)).numpy()
            path = Path(folder) / "model"
            mlflow.pytorch.save_model(
                network,
                str(path),
                signature=infer_signature(example, output),
                input_example=example,
                pip_requirements=list(requirements),
            )
            self.client.log_artifacts(self.run_id, str(path), artifact_path="model")

    def finish(self, status: str = "FINISHED") -> None:
        """End the run as FINISHED, FAILED or KILLED; tell what could not be recorded."""
        with self._told("end of run"):
            self.client.set_terminated(self.run_id, status)
        if self.failures:
            print(
                f"warning: {self.failures} writes to the tracker failed; the results on disk are whole.",
                file=sys.stderr,
            )

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        from mlflow.exceptions import MlflowException
        from requests import RequestException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, RequestException, OSError) as error:
            self.failures += 1
            if self.failures == 1:
                first = str(error).splitlines()[0] if str(error) else type(error).__name__
                print(
                    f"warning: the tracker did not take {what}: {first}. Training goes on.", file=sys.stderr
                )


class Tracker:
    """Opens runs in one experiment of one store."""

    def __init__(self, uri: str, *, experiment: str, root: Path) -> None:
        """Connect, and make the store's schema and the experiment if this is their first use.

        Raises `TrackingError` where the store cannot be reached: told before anything is trained.
        """
        mlflow = _mlflow()
        self.uri = _absolute(tracking_uri(uri), root)
        self.root = root
        # Several processes that make the schema of one fresh store at once can break it for good.
        with FileLock(root / ".mlflow.lock", timeout=300):
            self.client = self._reached(lambda: mlflow.MlflowClient(tracking_uri=self.uri))
            self.experiment_id = self._reached(lambda: self._experiment(experiment))

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                self.client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        from mlflow.exceptions import MlflowException

        try:
            return str(self.client.create_experiment(name, **self._artifacts(name)))
        except MlflowException:  # another machine, which no file lock reaches, has made it meanwhile
            found = self.client.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)

    def _artifacts(self, name: str) -> dict[str, str]:
        """A store in a local file keeps artifacts under ``mlruns/``; a server decides for itself."""
        if not self.uri.startswith("sqlite:"):
            return {}
        return {"artifact_location": (self.root / "mlruns" / name).as_uri()}

    def _reached(self, call: Callable[[], Any]) -> Any:
        from mlflow.exceptions import MlflowException
        from requests import RequestException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return call()
        except (MlflowException, SQLAlchemyError, RequestException, OSError) as error:
            raise TrackingError(
                f"tracking.uri={self.uri}: the store cannot be used: {str(error).splitlines()[0]}. "
                "Start its server, set MLFLOW_TRACKING_URI to another, or train with tracking=none."
            ) from error

    def find_tagged(self, tags: Mapping[str, str]) -> str | None:
        """Return the id of the first run that has all these tags, or None."""
        query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        found = self._reached(
            lambda: self.client.search_runs(
                [self.experiment_id], query, order_by=["attributes.start_time ASC"], max_results=1
            )
        )
        return str(found[0].info.run_id) if found else None

    def reopen(self, run_id: str) -> Run:
        """Return an existing run, to write more into it."""
        return Run(self.client, run_id)

    def start(self, name: str, *, tags: Mapping[str, str], resume_id: str | None = None) -> Run:
        """Open a run, or go on with the one that a killed process left."""
        if resume_id is not None and self._exists(resume_id):
            self._reached(lambda: self.client.update_run(resume_id, status="RUNNING"))
            run = Run(self.client, resume_id)
            run.set_tags(tags)
            return run
        created = self._reached(
            lambda: self.client.create_run(self.experiment_id, run_name=name, tags=dict(tags))
        )
        return Run(self.client, created.info.run_id)

    def find(self, *, model_sha256: str, name: str) -> Run | None:
        """Return the latest run that made this model, if this store knows one."""
        query = f"tags.`{MODEL_TAG}` = '{model_sha256}' and attributes.run_name = '{name}'"
        found = self._reached(
            lambda: self.client.search_runs(
                [self.experiment_id], query, order_by=["attributes.start_time DESC"], max_results=1
            )
        )
        return Run(self.client, found[0].info.run_id) if found else None

    def _exists(self, run_id: str) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_run(run_id).info.lifecycle_stage == "active"
        except MlflowException:
            return False


def read_tracked(run_id: str, *, uri: str, root: Path) -> tuple[str, dict[str, list[tuple[float, float]]]]:
    """Return any tracked run's name and its metrics, ``{name: [(step, value), …]}``.

    Raises `TrackingError` where the store does not answer or has no such run.
    """
    client = _client(uri, root)
    try:
        run = client.get_run(run_id)
        names = list(run.data.metrics)
        points = {
            name: [(float(m.step), float(m.value)) for m in client.get_metric_history(run_id, name)]
            for name in names
        }
    except _errors() as error:
        raise _no_run(run_id, error, uri, root) from error
    # A resumed run may have told a step twice; the last one told counts.
    return str(run.info.run_name), {name: list(dict(p).items()) for name, p in points.items()}


def read_tags(run_id: str, *, uri: str, root: Path) -> dict[str, str]:
    """Return a tracked run's tags. Raises `TrackingError` as `read_tracked` does."""
    client = _client(uri, root)
    try:
        return dict(client.get_run(run_id).data.tags)
    except _errors() as error:
        raise _no_run(run_id, error, uri, root) from error


def _no_run(run_id: str, error: Exception, uri: str, root: Path) -> TrackingError:
    return TrackingError(
        f"run={run_id}: {_first(error)}. The store is {_absolute(tracking_uri(uri), root)}; set "
        "MLFLOW_TRACKING_URI for another, and copy the id from the run's page."
    )


def read_artifact(run_id: str, name: str, *, uri: str, root: Path, folder: Path) -> Path | None:
    """Fetch one artifact of a tracked run into a folder; None where it has no such file."""
    try:
        return Path(_client(uri, root).download_artifacts(run_id, name, str(folder)))
    except _errors():
        return None


def _client(uri: str, root: Path) -> Any:
    mlflow = _mlflow()
    absolute = _absolute(tracking_uri(uri), root)
    path = absolute.removeprefix("sqlite:///")
    if path != absolute and not Path(path).is_file():  # opening it would make an empty store
        raise TrackingError(f"{absolute}: there is no such store. Train first, or set MLFLOW_TRACKING_URI.")
    try:
        return mlflow.MlflowClient(tracking_uri=absolute)
    except _errors() as error:
        raise TrackingError(f"{absolute}: the store cannot be used: {_first(error)}.") from error


def _errors() -> tuple[type[Exception], ...]:
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    return (MlflowException, SQLAlchemyError, RequestException, OSError)


def _first(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")


class TensorBoard:
    """The same numbers as event files, for people whose textbook uses TensorBoard."""

    def __init__(self, folder: Path) -> None:
        """Raises `TrackingError` where the extra is not installed."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise TrackingError(
                "tracking.tensorboard=true: TensorBoard is not installed. "
                'Install it with: pip install "tensorboard>=2.19"'
            ) from error
        self.writer = SummaryWriter(str(folder))

    def log_epoch(self, row: EpochRecord) -> None:
        """Write one epoch."""
        for name, value in row.metrics.items():
            self.writer.add_scalar(name, value, row.epoch + 1)
        self.writer.flush()


def _absolute(uri: str, root: Path) -> str:
    """A SQLite file is meant relative to the project's root, from whichever folder."""
    prefix = "sqlite:///"
    if uri.startswith(prefix) and not uri.startswith(prefix + "/"):
        return f"{prefix}{root / uri[len(prefix) :]}"
    return uri


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", "null" if value is None else str(value)
