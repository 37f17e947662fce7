"""What a study holds, as plain records, and which of its settings mattered.

This is the one place where a finished study is read; whoever draws or tells it needs no Optuna.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import StudyDirection

from pipeline.errors import SpaceError, SweepError
from pipeline.records import Estimate
from pipeline.sweep.space import plain_text
from pipeline.sweep.standing import FAILURE, SECONDS
from pipeline.sweep.study import FOLDER, SPACE, load_study, open_storage
from pipeline.sweep.trial import METRICS, OBJECTIVE, PARENT_RUN, VERDICT

LEAST_TRIALS = 10


@dataclass(frozen=True)
class FinishedTrial:
    """One trial that ended. state: complete, pruned or failed.  values: one a direction, of a complete one.

    metrics: name → number at the kept epoch.  verdict: of the diagnosis, where one was made.
    """

    number: int
    state: str
    values: tuple[float, ...]
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    verdict: str | None
    seconds: float | None
    failure: str | None


@dataclass(frozen=True)
class StudyRecord:
    """One study. fixed: the overrides that all trials share.  log_keys: settings on a logarithmic scale.

    objectives: what the values measure, one a direction ("value" where trials do not tell).
    folder: of the trials' outputs.  parent_run: its run in MLflow, if one was kept.
    front: numbers of the trials that no other beats in every objective; the best first.
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
    def complete(self) -> list[FinishedTrial]:
        """The completed trials, the best first (by the first objective)."""
        found = [t for t in self.trials if t.state == "complete"]
        sign = 1 if self.directions[0] == "minimize" else -1
        return sorted(found, key=lambda t: (sign * t.values[0], t.number))

    def overrides(self, trial: FinishedTrial) -> list[str]:
        """The overrides that gave a trial its configuration."""
        return [*self.fixed, *(f"{key}={plain_text(value)}" for key, value in trial.params.items())]


def read_study(storage: str, name: str) -> StudyRecord:
    """Read a study of ours that has at least one completed trial.

    Raises `SpaceError` for an unknown study (naming those that exist) or one of another program, and
    `SweepError` where there is no database, or nothing completed yet.
    """
    path = Path(storage.removeprefix("sqlite:///"))
    if storage.startswith("sqlite:///") and not path.is_file():
        raise SweepError(f"storage={storage}: there is no such file. Run a sweep first: pipeline train -m …")
    study = load_study(open_storage(storage), name)
    known = study.user_attrs
    if SPACE not in known:
        raise SpaceError(
            f"study={name}: was made by another program, so its settings mean nothing here. "
            "Look at it with optuna-dashboard."
        )
    frozen = tuple(t for t in study.get_trials(deepcopy=False) if t.state.is_finished())
    trials = tuple(_trial(t) for t in frozen)
    if not any(t.state == "complete" for t in trials):
        counts = ", ".join(f"{sum(t.state == s for t in trials)} {s}" for s in ("pruned", "failed"))
        raise SweepError(
            f"study={name}: has no completed trial ({counts}), so there is nothing to report. "
            "The command that began it goes on with it."
        )
    distributions = {k: d for t in frozen for k, d in t.distributions.items()}
    sign = 1 if study.directions[0].name == "MINIMIZE" else -1
    front = sorted((t for t in study.best_trials if t.values), key=lambda t: sign * t.values[0])
    return StudyRecord(
        name=name,
        directions=tuple(d.name.lower() for d in study.directions),
        objectives=_objectives(frozen, len(study.directions)),
        keys=tuple(distributions),
        log_keys=frozenset(k for k, d in distributions.items() if getattr(d, "log", False)),
        fixed=tuple(known[SPACE]["fixed"]),
        folder=Path(known[FOLDER]),
        parent_run=known.get(PARENT_RUN),
        trials=trials,
        front=tuple(t.number for t in front),
        frozen=frozen,
    )


def _trial(t: optuna.trial.FrozenTrial) -> FinishedTrial:
    states = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
    told = t.user_attrs
    return FinishedTrial(
        number=t.number,
        state=states[t.state.name],
        values=tuple(t.values or ()) if t.state.name == "COMPLETE" else (),
        params=dict(t.params),
        metrics=told.get(METRICS, {}),
        verdict=told.get(VERDICT),
        seconds=told.get(SECONDS),
        failure=told.get(FAILURE),
    )


def _objectives(frozen: Sequence[optuna.trial.FrozenTrial], count: int) -> tuple[str, ...]:
    for t in frozen:
        told = t.user_attrs.get(OBJECTIVE)
        names = [told] if isinstance(told, str) else list(told or ())
        if len(names) == count:
            return tuple(names)
    return ("value",) if count == 1 else tuple(f"value {i + 1}" for i in range(count))


def importances(record: StudyRecord, *, num_bootstrap: int = 100, seed: int = 0) -> dict[str, Estimate]:
    """Return each setting's share (0 … 1, together 1) in reaching the best trials, the largest first.

    PED-ANOVA (Watanabe et al., IJCAI 2023, arXiv:2304.10255) over the completed trials. The interval is
    the bootstrap's over trials; it holds a trial several times, which favours no setting over another.
    Empty for fewer than 10 completed trials or one setting.
    """
    done = [t for t in record.frozen if t.state.name == "COMPLETE"]
    if len(done) < LEAST_TRIALS or len(record.keys) < 2:
        return {}
    found = _importance(record.directions, done)
    rng = np.random.default_rng(seed)
    drawn = [
        _importance(record.directions, [done[i] for i in rng.integers(len(done), size=len(done))])
        for _ in range(num_bootstrap)
    ]
    estimates = {}
    for key, value in found.items():
        # A setting that exists under a condition may be missing from a draw: it then explains nothing.
        low, high = np.quantile([d.get(key, 0.0) for d in drawn], [0.025, 0.975])
        estimates[key] = Estimate(value, min(float(low), value), max(float(high), value), len(done))
    return dict(sorted(estimates.items(), key=lambda item: -item[1].value))


def _importance(directions: Sequence[str], trials: Sequence[optuna.trial.FrozenTrial]) -> dict[str, float]:
    study = optuna.create_study(directions=[StudyDirection[d.upper()] for d in directions])
    study.add_trials(trials)
    # The best tenth, or as many as five trials are: the method is unstable with fewer.
    share = max(0.1, min(0.5, 5 / len(trials)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: dict[str, float] = get_param_importances(
            study, evaluator=PedAnovaImportanceEvaluator(target_quantile=share)
        )
    return found
