"""Limits of a sweep: no solution exceeds one, in one objective or several."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from pipeline.errors import SpaceError
from pipeline.sweep.constraints import checked_constraints, excesses, is_feasible
from pipeline.sweep.samplers import build_sampler
from sweep_process import run, study

LIMIT = "hydra.sweeper.constraints={size: 2}"
SEARCH = ("x=interval(0,9)", "hydra.sweeper.n_trials=12", "hydra.sweeper.sampler.seed=3")


def test_an_excess_is_what_a_trial_has_above_the_limit() -> None:
    trial = optuna.trial.create_trial(value=1.0, user_attrs={"metrics": {"size": 5.0}})
    assert excesses({"size": 2.0, "seconds": 1.0}, trial.user_attrs) == {"size": 3.0}
    assert is_feasible(trial)  # no limit was asked for when it ran


def test_the_best_trial_of_a_sweep_keeps_its_limit(tmp_path: Path) -> None:
    """The free optimum is x=3; the size is x, so the best with a limit of 2 lies below it."""
    printed = run(tmp_path, *SEARCH, LIMIT)
    found = study(tmp_path)
    allowed = [t for t in found.trials if t.params["x"] <= 2]
    assert allowed and len(allowed) < 12
    best = min(allowed, key=lambda t: t.values[0])
    results = yaml.safe_load((tmp_path / "multirun" / "optimization_results.yaml").read_text())
    assert results["best_trial"] == best.number
    assert f"by #{best.number}:" in printed.splitlines()[-1]
    assert sorted(t.number for t in found.trials if is_feasible(t)) == [t.number for t in allowed]


SEEDS = ("x=1,3", "seed=0,1", "noise=0.5")


def test_the_best_settings_over_seeds_keep_the_limit(tmp_path: Path) -> None:
    """x=3 is the best of all, and its size 3 exceeds the limit in both seeds."""
    printed = run(tmp_path, *SEEDS, LIMIT)
    results = yaml.safe_load((tmp_path / "multirun" / "optimization_results.yaml").read_text())
    assert results["best_params"] == {"x": 1}
    assert printed.splitlines()[-1].endswith("over 2 seeds: x=1")


def test_the_front_over_seeds_keeps_its_limit(tmp_path: Path) -> None:
    two = ("two=true", "hydra.sweeper.direction=[minimize,minimize]")
    run(tmp_path, *SEEDS, *two, LIMIT)
    results = yaml.safe_load((tmp_path / "multirun" / "optimization_results.yaml").read_text())
    assert [s["params"] for s in results["solutions"]] == [{"x": 1}]


def test_seeds_of_which_none_keeps_the_limit_have_no_best(tmp_path: Path) -> None:
    printed = run(tmp_path, "x=5,6", "seed=0,1", LIMIT)
    assert "no settings keep hydra.sweeper.constraints with all seeds" in printed


def test_a_metric_that_is_no_number_exceeds_any_limit() -> None:
    """Optuna takes no NaN: the worker would end with its error, and train the trial again."""
    found = excesses({"size": 2.0}, {"metrics": {"size": math.nan}})
    assert found == {"size": math.inf}
    optuna.create_study().ask().set_constraint("size", found["size"])


def test_the_front_of_several_objectives_keeps_its_limit(tmp_path: Path) -> None:
    two = ("two=true", "hydra.sweeper.direction=[minimize,minimize]")
    run(tmp_path, *SEARCH, *two, "hydra/sweeper/sampler=nsgaii", LIMIT)
    results = yaml.safe_load((tmp_path / "multirun" / "optimization_results.yaml").read_text())
    assert results["solutions"] and all(s["params"]["x"] <= 2 for s in results["solutions"])


def test_a_sweep_in_which_nothing_keeps_the_limit_says_so(tmp_path: Path) -> None:
    printed = run(tmp_path, "x=interval(5,9)", "hydra.sweeper.n_trials=3", LIMIT)
    assert "no completed trial keeps hydra.sweeper.constraints" in printed


def test_a_metric_that_the_task_lacks_fails_its_trial(tmp_path: Path) -> None:
    unknown = "hydra.sweeper.constraints={weight: 2}"
    printed = run(tmp_path, *SEARCH, unknown, code=1)
    assert "constraints.weight: the task has no such metric. There is: size." in printed


@pytest.mark.parametrize("limit", ["many", None, math.nan, True])
def test_a_limit_is_a_finite_number(limit: Any) -> None:
    with pytest.raises(SpaceError, match="must be a number"):
        checked_constraints({"parameters": limit})


def test_a_sampler_without_constraints_is_refused() -> None:
    with pytest.raises(SpaceError, match="sampler=random: knows no constraints"):
        build_sampler({"name": "random"}, number=0, constraints={"parameters": 1.0})
