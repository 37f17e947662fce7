"""Why a run is trained: because a person asked for it, or as one trial of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from pipeline.runs.train_once import TrainedRun
from pipeline.training.recorder import Observer


class Role(Protocol):
    """The points at which a run of its own and a trial of a sweep differ."""

    @property
    def attended(self) -> bool:
        """Whether a person watches this run.

        Then it shows a progress bar, draws its curves, and records its signals and its network.
        """

    def say(self, line: str) -> None:
        """Print a line, or write it into the log of the job."""

    def title(self, name: str) -> str:
        """Return the name of the tracked run of a model."""

    def tags(self) -> Mapping[str, str]:
        """Return the tags that only this role gives to the tracked run."""

    def run_key(self, note: Mapping[str, str]) -> str | None:
        """Return the key of the tracked run, which an earlier, killed process may have opened.

        note: of the checkpoints' folder.  None: the run is a new one.
        """

    def opened(self, key: str) -> None:
        """Take notice of the key of the tracked run."""

    def observers(self, objective: str) -> list[Observer]:
        """Return further observers of the epochs; an observer that returns True ends the training.

        objective: name of the metric by which the run is judged.
        """

    def trained(self, run: TrainedRun, objective: str | Sequence[str]) -> None:
        """Take notice of a run that reached its end."""

    @property
    def leaves_model(self) -> bool:
        """Whether the run has trained to its end, so that its model is worth keeping."""

    @property
    def continues_elsewhere(self) -> bool:
        """Whether another worker has taken this run over: it needs the checkpoints."""

    def status_of(self, status: str) -> str | None:
        """Return the status of the tracked run for FINISHED, FAILED or KILLED; None: still open."""
