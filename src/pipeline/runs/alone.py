"""A run that a person asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.runs.train_once import TrainedRun
from pipeline.training.recorder import Observer


class Alone:
    """The role of a run that belongs to no sweep; see `pipeline.runs.role.Role`."""

    attended = True
    leaves_model = True
    continues_elsewhere = False

    def say(self, line: str) -> None:
        """Print the line at once."""
        print(line, flush=True)

    def title(self, name: str) -> str:
        """Return the name of the model."""
        return name

    def tags(self) -> Mapping[str, str]:
        """Return no tags."""
        return {}

    def run_key(self, note: Mapping[str, str]) -> str | None:
        """Return the run that the killed process has noted beside its checkpoints."""
        return note.get("run_id")

    def opened(self, key: str) -> None:
        """Do nothing: the note beside the checkpoints is enough."""

    def observers(self, objective: str) -> list[Observer]:
        """Return no observers."""
        return []

    def trained(self, run: TrainedRun, objective: str | Sequence[str]) -> None:
        """Do nothing: the files of the run say everything."""

    def status_of(self, status: str) -> str | None:
        """Return the status as it is."""
        return status
