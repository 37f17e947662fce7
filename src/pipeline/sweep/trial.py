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

# What is kept with each trial in Optuna: the run that recorded it, what it was judged by, its numbers
# at the kept epoch.  With the study: the run whose children its trials' runs are.
RUN_ID, OBJECTIVE, METRICS = "mlflow_run", "objective", "metrics"
PARENT_RUN = "pipeline:mlflow_run"
# What its diagnosis says; its run is tagged with the same name.
VERDICT = "diagnosis.verdict"


class OptunaTrial(Protocol):
    """What is used of `optuna.trial.Trial`."""

    @property
    def number(self) -> int:
        """Its number in the study, from 0."""

    def report(self, value: float, step: int) -> None:
        """Keep an intermediate value."""

    def should_prune(self) -> bool:
        """Whether the study's pruner would stop it."""

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep a JSON value."""


@dataclass
class RunningTrial:
    """One trial of a study, as its task sees it.

    attributes: what was kept about the study (such as the id of its record).  prunes: whether the
    study has a pruner; with several objectives none can be.  fresh: nobody has begun this trial before,
    so there is no record of it to look for.  lost: another worker has taken this
    trial over, because this one did not renew its lease in time; whoever sees it should stop.
    """

    trial: OptunaTrial
    study_name: str
    params: Mapping[str, Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    prunes: bool = False
    fresh: bool = False
    pruned: bool = False
    lost: bool = False

    @property
    def number(self) -> int:
        """The trial's number in its study, from 0."""
        return self.trial.number

    def report(self, value: float, *, step: int) -> bool:
        """Tell an intermediate value; return whether to stop now."""
        if self.prunes and math.isfinite(value):
            self.trial.report(value, step)
            self.pruned = self.pruned or self.trial.should_prune()
        return self.pruned or self.lost

    def note(self, key: str, value: Any) -> None:
        """Keep a JSON value with the trial, as an Optuna user attribute."""
        self.trial.set_user_attr(key, value)


_current: RunningTrial | None = None


def current_trial() -> RunningTrial | None:
    """Return the trial that this process runs now, or None outside a sweep."""
    return _current


def report(value: float, *, step: int) -> bool:
    """Tell the current trial's intermediate value; return whether to stop. Outside a sweep: never."""
    return _current.report(value, step=step) if _current else False


@contextlib.contextmanager
def running(trial: RunningTrial) -> Iterator[RunningTrial]:
    """Make a trial the current one."""
    global _current
    _current = trial
    try:
        yield trial
    finally:
        _current = None
