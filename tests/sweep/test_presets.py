"""Every preset of conf/sweep/ runs, and a setting exists exactly under its condition."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from pipeline import cli

CONF = Path(__file__).parents[2] / "conf" / "sweep"
PRESETS = sorted(path.stem for path in CONF.glob("*.yaml"))
TINY = (
    "tracking=none trainer.max_epochs=1 trainer.sample_size=50 signals=none "
    "hydra/sweeper/sampler=random hydra.sweeper.sampler.seed=0 hydra/sweeper/pruner=none "
    "study_name=tried"
)
# The learning curve has an end of its own; the others run a few trials of few images.
BUDGET = {"data_size": ("", 15)}


def swept(line: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> list[optuna.trial.FrozenTrial]:
    monkeypatch.setattr(sys, "argv", ["pipeline", *line.split()])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert cli.main() == 0
    return optuna.load_study(study_name="tried", storage=f"sqlite:///{root / 'optuna.db'}").trials


def plain(value: Any) -> list[str]:
    return [str(v) for v in (value if isinstance(value, list) else [value])]


def expected_keys(
    trial: optuna.trial.FrozenTrial, params: dict[str, Any], conditions: dict[str, Any]
) -> set[str]:
    """The settings whose condition holds in a trial, or that have none."""
    keys = set()
    for key in params:
        condition = conditions.get(key, {})
        if all(str(trial.params.get(k)) in plain(v) for k, v in condition.items()):
            keys.add(key)
    return keys


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_runs(name: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    budget, count = BUDGET.get(name, ("n_trials=8 data.fraction=0.05", 8))
    trials = swept(f"train -m sweep={name} {TINY} {budget}", project, monkeypatch)
    assert [t.state for t in trials] == [TrialState.COMPLETE] * count
    sweeper = yaml.safe_load((CONF / f"{name}.yaml").read_text())["hydra"]["sweeper"]
    conditions = sweeper.get("conditions", {})
    for trial in trials:
        assert set(trial.params) == expected_keys(trial, sweeper["params"], conditions)
    for key in conditions:
        having = sum(key in t.params for t in trials)
        assert 0 < having < count, f"{key}: its condition decided nothing"


def test_two_objectives_of_a_training(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = (
        f"train -m sweep=capacity {TINY} n_trials=6 data.fraction=0.05 "
        "objective=[val/loss,parameters] hydra.sweeper.direction=[minimize,minimize] "
        "hydra/sweeper/sampler=nsgaii"
    )
    for trial in swept(line, project, monkeypatch):
        width, depth = trial.params["model.width"], trial.params["model.depth"]
        weights = 785 * width + (depth - 1) * (width + 1) * width + (width + 1) * 10
        assert trial.values[1] == weights
