"""A run that is one trial of a sweep: it reports, leaves notes, and may be stopped or lost."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.records import EpochRecord
from pipeline.runs.alone import Alone
from pipeline.runs.role import Role
from pipeline.runs.sweep_record import trial_key, trial_tags, varied
from pipeline.runs.train_once import TrainedRun
from pipeline.sweep.trial import METRICS, OBJECTIVE, RUN_ID, VERDICT, RunningTrial
from pipeline.training.recorder import Observer

log = logging.getLogger(__name__)


def role_of(trial: RunningTrial | None) -> Role:
    """Return the role of a run; trial: of the sweep that the run belongs to, if any."""
    return Alone() if trial is None else TrialOfSweep(trial)


@dataclass(frozen=True)
class TrialOfSweep:
    """The role of a run that a sweep asked for; see `pipeline.runs.role.Role`."""

    trial: RunningTrial
    attended = False

    def say(self, line: str) -> None:
        """Write the line into the log of the job."""
        log.info(line)

    def title(self, name: str) -> str:
        """Return the trial's number and what it varies, or the model's name; and its own seed."""
        seed = "" if self.trial.seed is None else f", seed {self.trial.seed}"
        return f"#{self.trial.number} {varied(self.trial.params) or name}{seed}"

    def tags(self) -> Mapping[str, str]:
        """Return study, number, and parent of the run."""
        return trial_tags(self.trial)

    def run_key(self, note: Mapping[str, str]) -> str:
        """Return a key of study and trial: a killed worker may have opened the run already."""
        return trial_key(self.trial)

    def opened(self, key: str) -> None:
        """Note the run in the trial."""
        self.trial.note(RUN_ID, key)

    def observers(self, objective: str) -> list[Observer]:
        """Return the report to the study; it ends the training of a pruned or lost trial."""

        def report(row: EpochRecord) -> bool:
            value = row.metrics.get(objective)
            return False if value is None else self.trial.report(value, step=row.epoch + 1)

        return [report]

    def trained(self, run: TrainedRun, objective: str | Sequence[str]) -> None:
        """Note verdict, objective, and numbers; of a lost trial the other worker notes its own."""
        if self.trial.lost:
            return
        if run.diagnosis:
            self.trial.note(VERDICT, run.diagnosis.verdict)
        self.trial.note(OBJECTIVE, objective)
        self.trial.note(METRICS, dict(run.numbers))

    @property
    def leaves_model(self) -> bool:
        """Whether the trial was neither pruned nor lost."""
        return not (self.trial.pruned or self.trial.lost)

    @property
    def continues_elsewhere(self) -> bool:
        """Whether the trial is lost."""
        return self.trial.lost

    def status_of(self, status: str) -> str | None:
        """Return KILLED for a pruned trial, and None for a lost one: its run goes on."""
        if self.trial.lost:
            return None
        return "KILLED" if self.trial.pruned and status == "FINISHED" else status


@dataclass(frozen=True)
class SeedOfGroup(TrialOfSweep):
    """The role of one seed's training in a group; its model's name holds the seed."""

    def title(self, name: str) -> str:
        """Return the name of the model, by which its evaluation finds the run."""
        return name
