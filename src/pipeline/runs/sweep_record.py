"""The record of a sweep in MLflow: the study is a run, its trials are that run's children.

The process that comes first opens the parent. A resumed sweep continues it, and the process that
ends the sweep closes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.sweep.seed_groups import study_groups
from pipeline.sweep.trial import FOLDER, PARENT_RUN, RunningTrial
from pipeline.tracking import NoRun, Run, Tracker, new_key, open_tracker

STUDY, TRIAL, KIND = "optuna.study", "optuna.trial", "pipeline.kind"


def trial_key(trial: RunningTrial) -> str:
    """Return the key of a trial's run: for every worker the same."""
    study = trial.attributes.get(PARENT_RUN) or trial.study_name
    return new_key("trial", study, str(trial.number))


def trial_tags(trial: RunningTrial) -> dict[str, str]:
    """Return the tags that identify a trial's run, and the one that names its parent."""
    tags = {STUDY: trial.study_name, TRIAL: str(trial.number)}
    parent = trial.attributes.get(PARENT_RUN)
    return {**tags, "mlflow.parentRunId": parent} if parent else tags


class StudyRun:
    """The listener that ``conf/config.yaml`` names as ``hydra.sweeper.listener``.

    values: the composed configuration.
    """

    def __init__(self, values: Mapping[str, Any], *, root: Path) -> None:
        self.root = root
        self._run: Run = NoRun()
        self.tracking: Mapping[str, Any] = values["tracking"]

    def opened(self, study: Any, *, n_trials: int) -> dict[str, Any]:
        """Open the parent run, or continue it."""
        tracker = self._tracker()
        if tracker is None:
            return {}
        known = study.user_attrs.get(PARENT_RUN)
        self._run = tracker.start(
            study.study_name,
            tags={STUDY: study.study_name, KIND: "study"},
            params={"n_trials": n_trials},
            # A process that was killed before it noted the key opens the same run again.
            key=known or new_key("study", study.study_name, str(study.user_attrs.get(FOLDER))),
        )
        return {PARENT_RUN: self._run.key}

    def closed(self, study: Any, *, status: str, counts: Mapping[str, int], folder: Path) -> None:
        """Record the counts by outcome and the best trial, and end the parent run."""
        run = self._run
        metrics = {f"trials/{name}": float(count) for name, count in counts.items()}
        best = [t for t in study.best_trials if t.values]
        groups = study_groups(study)
        if groups:
            metrics |= {
                "best/value": groups[0].mean,
                "best/num_seeds": float(len(groups[0].trials)),
            }
            if groups[0].spread is not None:
                metrics["best/standard_deviation"] = groups[0].spread
        elif best and len(study.directions) == 1:
            metrics["best/value"] = best[0].values[0]
            run.set_tags({"optuna.best_trial": str(best[0].number)})
        run.log_metrics(metrics)
        results = folder / "optimization_results.yaml"
        if results.is_file():
            run.log_files([results])
        run.finish(status, resumable=status != "FINISHED")

    def _tracker(self) -> Tracker | None:
        return open_tracker(self.tracking, root=self.root)
