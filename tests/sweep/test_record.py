"""MLflow's record of a sweep: the study is a run, each trial once its child, the same numbers."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from pipeline import cli
from pipeline.runs.sweep_record import varied
from pipeline.sweep.trial import PARENT_RUN, VERDICT
from pipeline.tracking import Tracker
from small_mnist import write_prepared

# A rate that learns, one that does not (and is pruned for it), one that diverges.
LINE = (
    "train -m optimizer=sgd optimizer.learning_rate=0.1,1e-7,1e9 n_trials=9 study_name=kept "
    "trainer.max_epochs=2 trainer.sample_size=100 data.fraction=0.3 "
    "hydra/sweeper/sampler=random hydra.sweeper.sampler.seed=0 "
    "hydra/sweeper/pruner=threshold hydra.sweeper.pruner.upper=2.1 hydra.sweeper.max_failure_rate=1"
)
STATUS = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.FAIL: "FAILED"}


@dataclass
class Swept:
    """A sweep that has ended. runs: trial number → its run in MLflow."""

    root: Path
    study: optuna.Study
    client: Any
    parent: Any
    runs: dict[int, Any]

    def trials(self, state: TrialState) -> list[FrozenTrial]:
        """Return the trials in a state, of which there must be some."""
        trials = [t for t in self.study.trials if t.state == state]
        assert trials, f"the search must hold one that is {state.name}"
        return trials

    def val_losses(self, trial: FrozenTrial) -> list[float]:
        """Return a trial's recorded curve."""
        run_id = self.runs[trial.number].info.run_id
        return [point.value for point in self.client.get_metric_history(run_id, "val/loss")]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swept]:
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(Path(__file__).parents[2] / "conf", root / "conf")
    (root / "mlruns").mkdir()
    write_prepared(root / "data" / "processed" / "mnist")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("HYDRA_FULL_ERROR", "1")
        patch.setattr(sys, "argv", ["pipeline", *LINE.split()])
        assert cli.main() == 0
        study = optuna.load_study(study_name="kept", storage=f"sqlite:///{root / 'optuna.db'}")
        client = Tracker("sqlite:///mlflow.db", experiment="mnist", root=root).client
        runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
        (parent,) = [r for r in runs if "optuna.trial" not in r.data.tags]
        children = [r for r in runs if "optuna.trial" in r.data.tags]
        assert len(children) == 9
        by_trial = {int(r.data.tags["optuna.trial"]): r for r in children}
        yield Swept(root, study, client, parent, by_trial)


def test_the_study_is_a_run_with_its_counts_and_its_best_value(swept: Swept) -> None:
    states = Counter(t.state for t in swept.study.trials)
    metrics = swept.parent.data.metrics
    assert swept.parent.data.tags["pipeline.key"] == swept.study.user_attrs[PARENT_RUN]
    assert swept.parent.info.status == "FINISHED"
    assert metrics["trials/complete"] == states[TrialState.COMPLETE]
    assert metrics["trials/pruned"] == states[TrialState.PRUNED]
    assert metrics["trials/failed"] == states[TrialState.FAIL]
    assert metrics["best/value"] == swept.study.best_value
    artifacts = swept.client.list_artifacts(swept.parent.info.run_id)
    assert "optimization_results.yaml" in {f.path for f in artifacts}


def test_the_study_shows_its_best_settings_and_says_them(swept: Swept) -> None:
    tags, best = swept.parent.data.tags, swept.study.best_trial
    rate = best.params["optimizer.learning_rate"]
    assert tags["optuna.best_trial"] == str(best.number)
    assert float(tags["best.optimizer.learning_rate"]) == rate
    note = tags["mlflow.note.content"]
    assert f"**#{best.number} learning_rate={rate:g}**: val/loss {best.value:.4g}" in note
    assert best.user_attrs[VERDICT].replace("_", " ") in note
    assert "pipeline sweep-report study=kept" in note


def test_a_trial_is_named_by_what_it_varies(swept: Swept) -> None:
    for trial in swept.study.trials:
        rate = trial.params["optimizer.learning_rate"]
        name = swept.runs[trial.number].info.run_name
        assert name == f"#{trial.number} learning_rate={rate:.4g}"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, ""),
        ({"model.dropout": 0.2, "seed": 3}, "dropout=0.2 seed=3"),
        ({"optimizer.learning_rate": 0.00123456}, "learning_rate=0.001235"),
        ({"model": "mlp", "+model.width": 64}, "model=mlp width=64"),
        ({"data.name": "a", "model.name": "b"}, "data.name=a model.name=b"),
        ({"model.hidden": "[64,32]"}, "hidden=[64,32]"),
    ],
)
def test_the_varied_settings_in_few_words(params: dict[str, Any], words: str) -> None:
    assert varied(params) == words


def test_each_trial_is_a_child_with_its_status_and_settings(swept: Swept) -> None:
    for trial in swept.study.trials:
        run = swept.runs[trial.number]
        assert run.info.status == STATUS[trial.state]
        assert run.data.tags["mlflow.parentRunId"] == swept.parent.info.run_id
        rate = trial.params["optimizer.learning_rate"]
        assert float(run.data.params["optimizer.learning_rate"]) == rate


def test_a_completed_trial_has_the_same_value_and_verdict_in_both(swept: Swept) -> None:
    for trial in swept.trials(TrialState.COMPLETE):
        data = swept.runs[trial.number].data
        assert data.metrics["kept/val/loss"] == trial.value  # to the last digit
        assert data.tags[VERDICT] == trial.user_attrs[VERDICT]
        assert len(swept.val_losses(trial)) == 2


def test_a_pruned_trial_leaves_the_history_of_its_epochs(swept: Swept) -> None:
    folder = swept.root / swept.study.user_attrs["pipeline:folder"]
    for trial in swept.trials(TrialState.PRUNED):
        assert swept.val_losses(trial) == list(trial.intermediate_values.values())
        history = folder / str(trial.number) / "results" / "mlp" / "history.csv"
        _, *epochs = history.read_text().splitlines()
        assert len(epochs) == 1


def test_a_failed_trial_names_the_setting_to_blame(swept: Swept) -> None:
    for trial in swept.trials(TrialState.FAIL):
        assert "learning_rate" in trial.user_attrs["failure"]
