"""Every preset of conf/sweep/ runs as a sweep, its settings existing exactly where its conditions say."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from pipeline import cli

CONF = Path(__file__).parents[1] / "conf" / "sweep"
PRESETS = sorted(path.stem for path in CONF.glob("*.yaml"))
TINY = (
    "tracking=none trainer.max_epochs=1 trainer.probe_size=50 signals=none "
    "hydra/sweeper/sampler=random hydra.sweeper.sampler.seed=0 hydra/sweeper/pruner=none study_name=tried"
)
# The learning curve has an end of its own; the others are asked for a few trials of a twentieth of the images.
BUDGET = {"data_size": ("", 15)}


def swept(line: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> list[optuna.trial.FrozenTrial]:
    monkeypatch.setattr(sys, "argv", ["pipeline", *line.split()])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert cli.main() == 0
    return optuna.load_study(study_name="tried", storage=f"sqlite:///{root / 'optuna.db'}").trials


def plain(value: Any) -> list[str]:
    return [str(v) for v in (value if isinstance(value, list) else [value])]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_runs(name: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    budget, count = BUDGET.get(name, ("n_trials=8 data.fraction=0.05", 8))
    trials = swept(f"train -m sweep={name} {TINY} {budget}", project, monkeypatch)
    assert [t.state for t in trials] == [TrialState.COMPLETE] * count
    sweeper = yaml.safe_load((CONF / f"{name}.yaml").read_text())["hydra"]["sweeper"]
    conditions = sweeper.get("conditions", {})
    for trial in trials:
        expected = {
            key
            for key in sweeper["params"]
            if all(str(trial.params.get(k)) in plain(v) for k, v in conditions.get(key, {}).items())
        }
        assert set(trial.params) == expected
    for key in conditions:
        assert 0 < sum(key in t.params for t in trials) < count, f"{key}: its condition decided nothing"


def test_two_objectives_of_a_training(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = (
        f"train -m sweep=capacity {TINY} n_trials=6 data.fraction=0.05 objective=[val/loss,parameters] "
        "hydra.sweeper.direction=[minimize,minimize] hydra/sweeper/sampler=nsgaii"
    )
    for trial in swept(line, project, monkeypatch):
        width, depth = trial.params["model.width"], trial.params["model.depth"]
        weights = 785 * width + (depth - 1) * (width + 1) * width + (width + 1) * 10
        assert trial.values[1] == weights
