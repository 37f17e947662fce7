"""A store of runs as the delivery needs it, and the numbers that pass between the two.

There are two. `pipeline.tracking.store` lets MLflow do everything. `pipeline.tracking.sqlite_store`
writes into a local SQLite store itself, without importing MLflow, as long as nothing asks for more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class Point(NamedTuple):
    """One row of a metric.

    ms: since 1970.  data: name and digest of a data set, for a number of the run's model on it.
    """

    name: str
    value: float
    ms: int
    step: int
    data: tuple[str, str] | None = None


@dataclass(frozen=True)
class Latest:
    """What a run holds already: name → (step, value) of the latest metric, and its parameters."""

    metrics: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)


class NeedsMlflow(Exception):
    """Only MLflow can do this. Nothing of it is written."""


class Destination(Protocol):
    """A store; its methods raise whatever its parts raise, and each may be called twice.

    uri: absolute.  root: of the project.  kept_uri: as files and messages show it.
    """

    uri: str
    root: Path
    kept_uri: str

    @property
    def is_local(self) -> bool:
        """Whether the store is a file on this disk, and no server."""

    def forget(self) -> None:
        """Ask for everything anew, since the store has failed and may be another one now."""

    def refuses(self, error: Exception) -> bool:
        """Return whether the store has said that it will never take this write."""

    # ---- which run ---------------------------------------------------------------------------

    def create(self, experiment: str, name: str, *, tags: Mapping[str, str], ms: int) -> str:
        """Create a run that has begun; return its id."""

    def has_run(self, run_id: str) -> bool:
        """Return whether the store has this run, not deleted."""

    def first_of_key(self, experiment: str, key: str) -> str | None:
        """Return the id of the first run with a key, or None."""

    def latest_tagged(self, experiment: str, tag: str, value: str, name: str) -> str | None:
        """Return the id of the latest run with a tag and a name, or None."""

    def resolved(self, experiment: str, address: str) -> str | None:
        """Return the id of an active run that is named by its key or its id, or None."""

    def remove_others(self, experiment: str, key: str, run_id: str) -> None:
        """Delete the other runs of a key: calls whose answer was lost have made them."""

    # ---- what is in it -----------------------------------------------------------------------

    def latest(self, run_id: str) -> Latest:
        """Return what a run holds already."""

    def status(self, run_id: str) -> str:
        """Return RUNNING, FINISHED, FAILED or KILLED."""

    def log_metrics(self, run_id: str, points: Sequence[Point]) -> None:
        """Add numbers; equal rows are kept once."""

    def log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Add parameters that the run does not have."""

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set or replace tags."""

    def log_dataset(self, run_id: str, dataset: Mapping[str, Any]) -> None:
        """Add the data of a training. dataset: name, digest, source, and profile."""

    def upload(self, run_id: str, files: Path, folder: str | None) -> None:
        """Copy all files below ``files`` into a run's artifacts."""

    def missing(self, run_id: str, files: Path, folder: str | None) -> str | None:
        """Return the first file below ``files`` that a server does not list, or None."""

    def log_model(self, run_id: str, files: Path, *, name: str, weights_sha256: str) -> str | None:
        """Make the logged model of a run, or finish one that was begun; see `models`.

        Returns the first file that a server does not list afterwards, or None.
        """

    def go_on(self, run_id: str, *, without: str) -> None:
        """Let a run be RUNNING again, without a tag that told of its end."""

    def end(self, run_id: str, status: str, *, ms: int) -> None:
        """End a run with a status at a time."""
