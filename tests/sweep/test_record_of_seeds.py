"""A sweep with seeds per trial, as a person runs it: MLflow's tree, the files, and the report."""

from __future__ import annotations

import csv
import shutil
import sys
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import optuna
import pytest
import yaml

from pipeline import cli
from pipeline.sweep.trial import METRICS, RUN_ID, SEEDS
from pipeline.tracking import Tracker
from small_mnist import write_prepared

LINE = (
    "train -m model.width=4,32 seed=5 seeds_per_trial=2 study_name=twice data.fraction=0.2 "
    "trainer.max_epochs=2 trainer.sample_size=100"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(Path(__file__).parents[2] / "conf", root / "conf")
    (root / "mlruns").mkdir()
    write_prepared(root / "data" / "processed" / "mnist")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for line in (LINE, "sweep-report study=twice"):
            patch.setattr(sys, "argv", ["pipeline", *line.split()])
            assert cli.main() == 0
    return root


def trials_of(root: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="twice", storage=f"sqlite:///{root / 'optuna.db'}").trials


def runs_of(root: Path) -> dict[str, Any]:
    """Return the runs of MLflow by their key."""
    client = Tracker(f"sqlite:///{root / 'mlflow.db'}", experiment="mnist", root=root).client
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    return {run.data.tags["pipeline.key"]: run for run in runs}


def test_each_trial_is_a_run_with_mean_and_spread_and_its_seeds_are_children(root: Path) -> None:
    runs = runs_of(root)
    assert len(runs) == 1 + 2 + 4
    for trial in trials_of(root):
        run = runs[trial.user_attrs[RUN_ID]]
        seeds = [
            r.data
            for r in runs.values()
            if r.data.tags.get("mlflow.parentRunId") == run.info.run_id
        ]
        losses = [data.metrics["kept/val/loss"] for data in seeds]
        assert sorted(data.tags["optuna.seed"] for data in seeds) == ["5", "6"]
        assert run.data.metrics["mean/val/loss"] == trial.value == fmean(losses)
        assert run.data.metrics["sd/val/loss"] == stdev(losses)
        assert trial.user_attrs[SEEDS]["standard_deviation"] == stdev(losses)
        assert trial.user_attrs[METRICS]["val/loss"] == trial.value
        assert run.info.status == "FINISHED" and run.data.params["model.width"] in ("4", "32")
        assert "optuna.trial" in run.data.tags


def test_the_study_has_the_spread_of_its_best_trial(root: Path) -> None:
    best = min(trials_of(root), key=lambda trial: trial.value or 0.0)
    (parent,) = [r for r in runs_of(root).values() if r.data.tags.get("pipeline.kind") == "study"]
    assert parent.data.metrics["best/value"] == best.value
    assert (
        parent.data.metrics["best/standard_deviation"]
        == best.user_attrs[SEEDS]["standard_deviation"]
    )
    (results,) = root.glob("multirun/*/*/optimization_results.yaml")
    assert yaml.safe_load(results.read_text())["seeds"] == [5, 6]


def test_the_report_shows_the_spread(root: Path) -> None:
    with (root / "results" / "sweeps" / "twice" / "trials.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    spreads = [t.user_attrs[SEEDS]["standard_deviation"] for t in trials_of(root)]
    assert [float(row["standard deviation"]) for row in rows] == spreads
    assert [row["seeds"] for row in rows] == ["5 6", "5 6"]
    assert "standard deviation" in (root / "results/sweeps/twice/report.html").read_text()
    best = (root / "conf" / "experiment" / "twice_best.yaml").read_text()
    assert "over 2 seeds" in best and "seed:" not in best
