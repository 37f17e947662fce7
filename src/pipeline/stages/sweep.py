"""The record of a sweep in MLflow: the study is a run, its trials are that run's children.

The parent is opened once, by whichever process comes first, goes on after a resume, and is closed
by the process that finds the budget used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.sweep.trial import PARENT_RUN, RunningTrial
from pipeline.tracking import Tracker

STUDY, TRIAL, KIND = "optuna.study", "optuna.trial", "pipeline.kind"


def trial_tags(trial: RunningTrial) -> dict[str, str]:
    """Return what tells a trial's run from all others, and where it belongs."""
    tags = {STUDY: trial.study_name, TRIAL: str(trial.number)}
    parent = trial.attributes.get(PARENT_RUN)
    return {**tags, "mlflow.parentRunId": parent} if parent else tags


class StudyRun:
    """What `hydra.sweeper.listener` names in ``conf/config.yaml``."""

    def __init__(self, values: Mapping[str, Any], *, root: Path) -> None:
        self.root = root
        self.tracking: Mapping[str, Any] = values["tracking"]

    def _tracker(self) -> Tracker | None:
        if not self.tracking["enabled"]:
            return None
        return Tracker(self.tracking["uri"], experiment=self.tracking["experiment"], root=self.root)

    def opened(self, study: Any, *, n_trials: int) -> dict[str, Any]:
        """Open the parent run, or go on with it."""
        tracker = self._tracker()
        if tracker is None:
            return {}
        tags = {STUDY: study.study_name, KIND: "study"}
        with FileLock(self.root / ".mlflow.lock", timeout=300):
            known = study.user_attrs.get(PARENT_RUN) or tracker.find_tagged(tags)
            run = tracker.start(study.study_name, tags=tags, resume_id=known)
        run.log_params({"n_trials": n_trials} if known is None else {})
        return {PARENT_RUN: run.run_id}

    def closed(self, study: Any, *, status: str, counts: Mapping[str, int], folder: Path) -> None:
        """Record how far it came, and the best configuration."""
        tracker = self._tracker()
        run_id = study.user_attrs.get(PARENT_RUN)
        if tracker is None or run_id is None:
            return
        run = tracker.reopen(run_id)
        numbers = {f"trials/{name}": float(count) for name, count in counts.items()}
        best = [t for t in study.best_trials if t.values]
        if best and len(study.directions) == 1:
            numbers["best/value"] = best[0].values[0]
            run.set_tags({"optuna.best_trial": str(best[0].number)})
        run.log_metrics(numbers)
        results = folder / "optimization_results.yaml"
        run.log_files([results] if results.is_file() else [])
        run.finish(status)
