"""The trial that this process is working on, for the task function that Hydra calls.

from pipeline.sweep import report

@hydra.main(...)
def task(config):
    for epoch in range(100):
        loss = ...
        if report(loss, step=epoch):   # True: this trial is worse than its peers, stop
            break
    return loss
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

# Attributes of a trial in Optuna: its MLflow run, the names of its objectives, its metrics at the
# kept epoch, and the verdict of its diagnosis (its run has a tag of the same name).
RUN_ID, OBJECTIVE, METRICS = "mlflow_run", "objective", "metrics"
VERDICT = "diagnosis.verdict"
# Attributes that the worker adds: the reason of a failure, the duration, the worker itself, and
# the number of the slot in the budget.
FAILURE, SECONDS, WORKER, SLOT = "failure", "seconds", "worker", "ticket"
# The attribute of a trial with several seeds: the seeds, their values, and the spread.
SEEDS = "seeds"
# Attributes of a study: the MLflow run that is the parent of its trials' runs, and their folder.
PARENT_RUN, FOLDER = "pipeline:mlflow_run", "pipeline:folder"


def objective_names(attributes: Mapping[str, Any]) -> list[str]:
    """Return the names of a trial's objectives; empty where its task has given none.

    attributes: of the trial, in Optuna.
    """
    given = attributes.get(OBJECTIVE)
    return [given] if isinstance(given, str) else list(given or ())


class OptunaTrial(Protocol):
    """The part of `optuna.trial.Trial` that is used here."""

    @property
    def number(self) -> int:
        """The number in the study, from 0."""

    def report(self, value: float, step: int) -> None:
        """Record an intermediate value."""

    def should_prune(self) -> bool:
        """Return whether the study's pruner would stop the trial."""

    def set_user_attr(self, key: str, value: Any) -> None:
        """Record a JSON value."""


@dataclass
class RunningTrial:
    """One trial of a study, as its task sees it.

    attributes: of the study, such as the id of its MLflow run.
    prunes: whether the study has a pruner; a study with several objectives has none.
    seed: the seed of this run, where the trial has several; else None.
    lost: another worker has taken this trial over, because this worker did not renew its lease in
    time; the task should stop.
    """

    trial: OptunaTrial
    study_name: str
    params: Mapping[str, Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    prunes: bool = False
    seed: int | None = None
    pruned: bool = False
    lost: bool = False

    @property
    def number(self) -> int:
        """The trial's number in its study, from 0."""
        return self.trial.number

    def report(self, value: float, *, step: int) -> bool:
        """Record an intermediate value; return whether to stop now. Ignores NaN and infinity."""
        if self.prunes and math.isfinite(value):
            self.trial.report(value, step)
            self.pruned = self.pruned or self.trial.should_prune()
        return self.pruned or self.lost

    def note(self, key: str, value: Any) -> None:
        """Record a JSON value with the trial, as an Optuna user attribute."""
        self.trial.set_user_attr(key, value)


_current: RunningTrial | None = None


def current_trial() -> RunningTrial | None:
    """Return the trial that this process runs now, or None outside a sweep."""
    return _current


def report(value: float, *, step: int) -> bool:
    """Record the current trial's value; return whether to stop, which is never outside a sweep."""
    return _current.report(value, step=step) if _current else False


@contextlib.contextmanager
def running(trial: RunningTrial) -> Iterator[RunningTrial]:
    """Make a trial the current one inside the block."""
    global _current
    _current = trial
    try:
        yield trial
    finally:
        _current = None
