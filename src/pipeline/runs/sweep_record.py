"""The record of a sweep in MLflow: the study is a run, its trials are that run's children.

The process that comes first opens the parent. A resumed sweep continues it, and the process that
ends the sweep closes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.config.overrides import value_text
from pipeline.disk import check_disk
from pipeline.runs.note import percent
from pipeline.sweep.seed_groups import study_groups
from pipeline.sweep.trial import (
    FOLDER,
    METRICS,
    OBJECTIVE,
    PARENT_RUN,
    VERDICT,
    RunningTrial,
)
from pipeline.sweep.trial_seeds import over_seeds
from pipeline.tracking import NOTE_TAG, NoRun, Run, Tracker, new_key, open_tracker

STUDY, TRIAL, KIND = "optuna.study", "optuna.trial", "pipeline.kind"
SEED_OF, SEED = "optuna.seed_of_trial", "optuna.seed"


def trial_key(trial: RunningTrial) -> str:
    """Return the key of a trial's run, or of the run of its seed: for every worker the same."""
    study = trial.attributes.get(PARENT_RUN) or trial.study_name
    seed = () if trial.seed is None else (str(trial.seed),)
    return new_key("trial", study, str(trial.number), *seed)


def trial_tags(trial: RunningTrial) -> dict[str, str]:
    """Return the tags that identify a trial's run, and the one that names its parent.

    The run of a seed has the trial's run as its parent.
    """
    if trial.seed is not None:
        whole = trial_key(replace(trial, seed=None))
        tags = {STUDY: trial.study_name, SEED_OF: str(trial.number), SEED: str(trial.seed)}
        return {**tags, "mlflow.parentRunId": whole}
    tags = {STUDY: trial.study_name, TRIAL: str(trial.number)}
    parent = trial.attributes.get(PARENT_RUN)
    return {**tags, "mlflow.parentRunId": parent} if parent else tags


def varied(params: Mapping[str, Any]) -> str:
    """Return what a trial varies in few words: ``dropout=0.2 seed=1``.

    A key keeps its group where another one ends as it does.
    """
    ends = Counter(key.rpartition(".")[2] for key in params)
    short = {key: end if ends[end := key.rpartition(".")[2]] == 1 else key for key in params}
    return " ".join(f"{short[key].lstrip('+')}={shown(value)}" for key, value in params.items())


def shown(value: Any) -> str:
    """Return a value of a search as a name shows it: a float with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else value_text(value)


class StudyRun:
    """The listener that ``conf/config.yaml`` names as ``hydra.sweeper.listener``.

    values: the composed configuration.
    """

    def __init__(self, values: Mapping[str, Any], *, root: Path) -> None:
        self.root = root
        self._run: Run = NoRun()
        self._trial: Run = NoRun()
        self.tracking: Mapping[str, Any] = values["tracking"]

    def opened(self, study: Any, *, n_trials: int) -> dict[str, Any]:
        """Open the parent run, or continue it; raise the errors of `check_disk`."""
        from pipeline.sweep.noted import title_of  # imports Optuna, which a training does without

        tracker = self._tracker()
        if tracker is None:
            return {}
        check_disk({self.root / "journal": 0, self.root / "mlruns": 0}, largest=0)
        known = study.user_attrs.get(PARENT_RUN)
        self._run = tracker.start(
            title_of(study),
            tags={STUDY: study.study_name, KIND: "study"},
            params={"n_trials": n_trials},
            # A process that was killed before it noted the key opens the same run again.
            key=known or new_key("study", study.study_name, str(study.user_attrs.get(FOLDER))),
        )
        return {PARENT_RUN: self._run.key}

    def closed(self, study: Any, *, status: str, counts: Mapping[str, int], folder: Path) -> None:
        """Record the counts by outcome and the best trial, and end the parent run."""
        run = self._run
        best = best_of(study)
        metrics = {f"trials/{name}": float(count) for name, count in counts.items()}
        run.log_metrics({**metrics, **(best.metrics if best else {})})
        run.set_tags({**(best.tags if best else {}), NOTE_TAG: _note(study, counts, best)})
        results = folder / "optimization_results.yaml"
        if results.is_file():
            run.log_files([results])
        run.finish(status, resumable=status != "FINISHED")

    def trial_opened(self, trial: RunningTrial) -> str | None:
        """Open the run of a trial with several seeds, or continue it; return its key."""
        tracker = self._tracker()
        if tracker is None:
            return None
        self._trial = tracker.start(
            f"#{trial.number} {varied(trial.params)}".strip(),
            tags={**trial_tags(trial), KIND: "trial"},
            params=dict(trial.params),
            key=trial_key(trial),
        )
        return self._trial.key

    def trial_closed(self, *, status: str | None, numbers: Mapping[str, float]) -> None:
        """Record means and spreads over the seeds, and end the trial's run unless it goes on."""
        self._trial.log_metrics(dict(numbers))
        self._trial.finish(status, resumable=status is None)

    def _tracker(self) -> Tracker | None:
        return open_tracker(self.tracking, root=self.root)


@dataclass(frozen=True)
class Best:
    """What a study found: its best trial, or with seeds its best group of trials.

    words: the same for people.
    """

    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    number: int | None
    words: str

    @property
    def tags(self) -> dict[str, str]:
        """A tag for each setting. A parameter would refuse the better value of a longer search."""
        number = {} if self.number is None else {"optuna.best_trial": str(self.number)}
        settings = {f"best.{key.lstrip('+')}": shown(value) for key, value in self.params.items()}
        return {**number, **settings}


def best_of(study: Any) -> Best | None:
    """Return the best of a study; None without one that counts, or with several objectives."""
    groups = study_groups(study)
    if groups:
        group = groups[0]
        if not group.feasible:
            return None
        metrics = {"best/value": group.mean, "best/num_seeds": float(len(group.trials))}
        if group.spread is not None:
            metrics["best/standard_deviation"] = group.spread
        words = f"**{varied(group.params) or 'all seeds'}**: {group.in_words}"
        return Best(group.params, metrics, None, words)
    found = [t for t in study.best_trials if t.values] if len(study.directions) == 1 else []
    if not found:
        return None
    trial, attributes = found[0], found[0].user_attrs
    name = attributes.get(OBJECTIVE, "value")
    accuracy = attributes.get(METRICS, {}).get("val/accuracy")
    words = f"**#{trial.number} {varied(trial.params)}**: {name} {trial.values[0]:.4g}"
    words += "" if accuracy is None else f", validation accuracy {percent(accuracy)}"
    words += f", {attributes[VERDICT].replace('_', ' ')}" if VERDICT in attributes else ""
    metrics = {"best/value": trial.values[0]}
    seeds = over_seeds(attributes)
    if seeds and seeds.spread is not None:
        metrics["best/num_seeds"] = float(len(seeds.seeds))
        metrics["best/standard_deviation"] = seeds.spread
        words += f", mean of {len(seeds.seeds)} seeds"
    return Best(trial.params, metrics, trial.number, words)


def _note(study: Any, counts: Mapping[str, int], best: Best | None) -> str:
    """Return the description of a study's run."""
    listed = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    lines = [f"Trials: {listed or 'none'}."]
    if best:
        lines.append(f"Best: {best.words}.")
    elif len(study.directions) > 1:
        lines.append(f"{len(study.best_trials)} trials that no other one beats in every objective.")
    lines.append(f"More: `pipeline sweep-report study={study.study_name}`")
    return " ".join(lines)
