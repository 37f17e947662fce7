"""What MLflow keeps of a sweep: the study as a run, each trial once as its child, with the same numbers."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from pipeline import cli
from pipeline.sweep.trial import PARENT_RUN, VERDICT
from pipeline.tracking import Tracker

# A rate that learns, one that does not (and is pruned for it), one that diverges.
LINE = (
    "train -m optimizer=sgd optimizer.learning_rate=0.1,1e-7,1e9 n_trials=9 trainer.max_epochs=2 "
    "data.fraction=0.3 trainer.probe_size=100 hydra/sweeper/sampler=random hydra.sweeper.sampler.seed=0 "
    "hydra/sweeper/pruner=threshold hydra.sweeper.pruner.upper=2.1 hydra.sweeper.max_failure_rate=1 study_name=kept"
)
STATUS = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.FAIL: "FAILED"}


def test_the_record_of_a_sweep_agrees_with_its_study(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pipeline", *LINE.split()])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert cli.main() == 0
    study = optuna.load_study(study_name="kept", storage=f"sqlite:///{project / 'optuna.db'}")
    states = Counter(t.state for t in study.trials)
    assert set(states) == set(STATUS), "the search must hold one of each"

    tracker = Tracker("sqlite:///mlflow.db", experiment="mnist", root=project)
    experiments = [e.experiment_id for e in tracker.client.search_experiments()]
    runs = tracker.client.search_runs(experiments)
    children = {int(r.data.tags["optuna.trial"]): r for r in runs if "optuna.trial" in r.data.tags}
    (parent,) = [r for r in runs if "optuna.trial" not in r.data.tags]
    assert len(runs) == 10
    assert parent.info.run_id == study.user_attrs[PARENT_RUN]
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["trials/complete"] == states[TrialState.COMPLETE]
    assert parent.data.metrics["trials/pruned"] == states[TrialState.PRUNED]
    assert parent.data.metrics["trials/failed"] == states[TrialState.FAIL]
    assert parent.data.metrics["best/value"] == study.best_value
    assert "optimization_results.yaml" in {f.path for f in tracker.client.list_artifacts(parent.info.run_id)}

    for trial in study.trials:
        run = children[trial.number]
        assert run.info.status == STATUS[trial.state]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        rate = trial.params["optimizer.learning_rate"]
        assert float(run.data.params["optimizer.learning_rate"]) == rate
        curve = tracker.client.get_metric_history(run.info.run_id, "val/loss")
        if trial.state == TrialState.COMPLETE:
            assert run.data.metrics["kept/val/loss"] == trial.value  # to the last digit
            assert run.data.tags[VERDICT] == trial.user_attrs[VERDICT]
            assert len(curve) == 2
        if trial.state == TrialState.PRUNED:
            assert len(curve) == len(trial.intermediate_values) == 1
            history = project / study.user_attrs["pipeline:folder"] / str(trial.number) / "results" / "mlp"
            assert len((history / "history.csv").read_text().splitlines()) == 2  # a head and its one epoch
        if trial.state == TrialState.FAIL:
            assert "learning_rate" in trial.user_attrs["failure"]
