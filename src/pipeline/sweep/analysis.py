"""A study read from its database, as plain records.

Only this file reads a finished study, so reports on it need no Optuna.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from pipeline.config.overrides import value_text
from pipeline.errors import NoTrialCompleted, SpaceError, SweepError
from pipeline.files import sqlite_file
from pipeline.sweep.constraints import is_feasible
from pipeline.sweep.seed_groups import SeedGroup, has_seed, seed_groups
from pipeline.sweep.storage import open_storage
from pipeline.sweep.study import SPACE, load_study
from pipeline.sweep.trial import (
    FAILURE,
    FOLDER,
    METRICS,
    PARENT_RUN,
    SECONDS,
    VERDICT,
    objective_names,
)
from pipeline.sweep.trial_seeds import OverSeeds, over_seeds

_STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


@dataclass(frozen=True)
class FinishedTrial:
    """One trial that ended.

    state: complete, pruned or failed.  values: of a complete trial, one for each direction.
    metrics: name → number at the kept epoch.  verdict: of the diagnosis, where one was made.
    over_seeds: of a trial with several seeds, whose value and metrics are means over them.
    feasible: whether the trial keeps the limits of the sweep.
    """

    number: int
    state: str
    values: tuple[float, ...]
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    verdict: str | None
    seconds: float | None
    failure: str | None
    over_seeds: OverSeeds | None = None
    feasible: bool = True


@dataclass(frozen=True)
class StudyRecord:
    """One study.

    objectives: the names of the values, one for each direction ("value" where no trial has them).
    fixed: the overrides that all trials share.  log_keys: settings on a logarithmic scale.
    folder: of the trials' outputs.  parent_run: the key of its run, where it is recorded.
    front: numbers of the trials that no other trial beats in every objective; the best first.
    """

    name: str
    directions: tuple[str, ...]
    objectives: tuple[str, ...]
    keys: tuple[str, ...]
    log_keys: frozenset[str]
    fixed: tuple[str, ...]
    folder: Path
    parent_run: str | None
    trials: tuple[FinishedTrial, ...]
    front: tuple[int, ...]
    frozen: tuple[optuna.trial.FrozenTrial, ...]

    @property
    def sign(self) -> int:
        """1 where a small first objective is good, else -1."""
        return 1 if self.directions[0] == "minimize" else -1

    @property
    def complete(self) -> list[FinishedTrial]:
        """The completed trials, the best first (by the first objective).

        Those that exceed a limit of the sweep come after all others.
        """
        complete = [t for t in self.trials if t.state == "complete"]
        return sorted(complete, key=lambda t: (not t.feasible, self.sign * t.values[0], t.number))

    @property
    def groups(self) -> list[SeedGroup]:
        """The completed trials as groups over their seeds, the best mean first.

        Empty where no seed was swept, and where there are several objectives.
        """
        if len(self.directions) > 1 or not has_seed(self.keys):
            return []
        return seed_groups(self.trials, direction=self.directions[0])

    def overrides(self, trial: FinishedTrial) -> list[str]:
        """Return the overrides that gave a trial its configuration."""
        return [*self.fixed, *(f"{key}={value_text(value)}" for key, value in trial.params.items())]


def read_study(storage: str, name: str) -> StudyRecord:
    """Read a study of ours that has at least one completed trial.

    Raises `SpaceError` for an unknown study (it names those that exist) or one of another program,
    and `SweepError` where there is no database, or no completed trial yet.
    """
    file = sqlite_file(storage)
    if file is not None and not file.is_file():
        raise SweepError(
            f"storage={storage}: there is no such file. Run a sweep first: pipeline train -m …"
        )
    study = load_study(open_storage(storage), name)
    attributes = study.user_attrs
    if SPACE not in attributes:
        raise SpaceError(
            f"study={name}: was made by another program, so its settings mean nothing here. "
            "Look at it with optuna-dashboard."
        )

    frozen = _ended(study)
    trials = finished_trials(study)
    if not any(t.state == "complete" for t in trials):
        counts = ", ".join(f"{sum(t.state == s for t in trials)} {s}" for s in ("pruned", "failed"))
        raise NoTrialCompleted(
            f"study={name}: has no completed trial ({counts}), so there is nothing to report. "
            "The command that began it continues it."
        )

    distributions = {key: d for t in frozen for key, d in t.distributions.items()}
    sign = 1 if study.directions[0].name == "MINIMIZE" else -1
    front = sorted((t for t in study.best_trials if t.values), key=lambda t: sign * t.values[0])
    return StudyRecord(
        name=name,
        directions=tuple(d.name.lower() for d in study.directions),
        objectives=_objectives(frozen, len(study.directions)),
        keys=tuple(distributions),
        log_keys=frozenset(key for key, d in distributions.items() if getattr(d, "log", False)),
        fixed=tuple(attributes[SPACE]["fixed"]),
        folder=Path(attributes[FOLDER]),
        parent_run=attributes.get(PARENT_RUN),
        trials=trials,
        front=tuple(t.number for t in front),
        frozen=frozen,
    )


def finished_trials(study: optuna.Study) -> tuple[FinishedTrial, ...]:
    """Return the trials of a study that ended, by number."""
    return tuple(_trial(t) for t in _ended(study))


def _ended(study: optuna.Study) -> tuple[optuna.trial.FrozenTrial, ...]:
    return tuple(t for t in study.get_trials(deepcopy=False) if t.state.is_finished())


def _trial(frozen: optuna.trial.FrozenTrial) -> FinishedTrial:
    attributes = frozen.user_attrs
    complete = frozen.state.name == "COMPLETE"
    return FinishedTrial(
        number=frozen.number,
        state=_STATES[frozen.state.name],
        values=tuple(frozen.values) if complete else (),
        params=dict(frozen.params),
        metrics=attributes.get(METRICS, {}),
        verdict=attributes.get(VERDICT),
        seconds=attributes.get(SECONDS),
        failure=attributes.get(FAILURE),
        over_seeds=over_seeds(attributes),
        feasible=is_feasible(frozen),
    )


def _objectives(trials: Sequence[optuna.trial.FrozenTrial], count: int) -> tuple[str, ...]:
    """Return the names that the first trial with as many objectives as directions has."""
    for trial in trials:
        names = objective_names(trial.user_attrs)
        if len(names) == count:
            return tuple(names)
    return ("value",) if count == 1 else tuple(f"value {i + 1}" for i in range(count))
