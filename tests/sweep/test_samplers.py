"""Every sampler meets the budget and obeys its seed; every pruner stops trials without failures."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import hydra
import optuna
import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from optuna.trial import TrialState

import sweep_app
from pipeline.sweep.samplers import build_pruner, build_sampler

SEARCH = ("x=interval(-10,10)", "kind=a,b")
# Options that let a sampler or pruner do its own work within a handful of trials.
SAMPLERS: dict[str, list[str]] = {
    "tpe": ["n_startup_trials=3"],
    "random": [],
    "cmaes": ["n_startup_trials=2"],
    "nsgaii": ["population_size=3"],
    "nsgaiii": ["population_size=3"],
    "gp": ["n_startup_trials=3"],
    "qmc": [],
    "grid": [],
}
PRUNERS: dict[str, list[str]] = {
    "none": [],
    "median": ["n_startup_trials=2"],
    "percentile": ["n_startup_trials=2", "percentile=30"],
    "successive_halving": ["n_startup_trials=3"],
    "hyperband": ["max_resource=8"],
    "threshold": ["upper=100"],
    "wilcoxon": [],
}


def sweep(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> list[optuna.trial.FrozenTrial]:
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr(
        sys, "argv", ["sweep_app.py", "-m", "hydra.sweeper.study_name=s", *arguments]
    )
    conf = str(Path(sweep_app.__file__).with_name("sweep_conf"))
    hydra.main(version_base="1.3", config_path=conf, config_name="config")(
        sweep_app.main.__wrapped__
    )()
    return optuna.load_study(study_name="s", storage=f"sqlite:///{folder / 'optuna.db'}").trials


def points(trials: list[optuna.trial.FrozenTrial]) -> list[dict[str, Any]]:
    return [t.params for t in trials]


def test_the_tables_here_hold_every_option() -> None:
    Plugins.instance()  # which runs every module that registers options
    known = ConfigStore.instance().repo["hydra"]["sweeper"]
    # OptunaHub's are loaded from the web; `test_hub.py` is about them.
    assert {name.removesuffix(".yaml") for name in known["sampler"]} == {*SAMPLERS, "hub"}
    assert {name.removesuffix(".yaml") for name in known["pruner"]} == set(PRUNERS)


@pytest.mark.parametrize("name", [n for n in SAMPLERS if n != "grid"])
def test_a_sampler_meets_the_budget_and_its_seed_decides_the_points(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [f"hydra.sweeper.sampler.{option}" for option in SAMPLERS[name]]
    line = [*SEARCH, f"hydra/sweeper/sampler={name}", *options, "hydra.sweeper.n_trials=7"]
    found = {
        run: sweep(tmp_path / run, monkeypatch, *line, f"hydra.sweeper.sampler.seed={run[0]}")
        for run in ("1", "1 again", "2")
    }
    for trials in found.values():
        assert [t.state for t in trials] == [TrialState.COMPLETE] * 7
        assert all(-10 <= t.params["x"] <= 10 and t.params["kind"] in "ab" for t in trials)
        # A genetic sampler may keep the values of its first three.
        assert len({t.params["x"] for t in trials}) >= 3
    assert points(found["1"]) == points(found["1 again"])
    assert points(found["1"]) != points(found["2"])


def test_the_grid_is_every_combination_once_up_to_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ["x=1,2,3", "kind=a,b", "hydra/sweeper/sampler=grid"]
    every = [{"x": x, "kind": kind} for x in (1, 2, 3) for kind in ("a", "b")]
    whole = sweep(tmp_path / "whole", monkeypatch, *line, "hydra.sweeper.n_trials=50")
    assert points(whole) == every
    part = sweep(tmp_path / "part", monkeypatch, *line, "hydra.sweeper.n_trials=4")
    assert points(part) == every[:4]


@pytest.mark.parametrize("name", PRUNERS)
def test_a_pruner_ends_trials_early_and_never_as_failures(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [f"hydra.sweeper.pruner.{option}" for option in PRUNERS[name]]
    # From the best to the worst, so that every pruner has a reason.
    line = ["x=range(3,23)", "steps=8", "hydra.sweeper.n_trials=20", "hydra.sweeper.sampler.seed=0"]
    trials = sweep(tmp_path / "s", monkeypatch, *line, f"hydra/sweeper/pruner={name}", *options)
    states = Counter(t.state for t in trials)
    assert states[TrialState.COMPLETE] + states[TrialState.PRUNED] == len(trials) == 20
    assert (states[TrialState.PRUNED] > 0) == (name != "none")
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    assert all(len(t.intermediate_values) == (8 if name != "none" else 0) for t in complete)


def test_successive_halving_spares_the_first_trials() -> None:
    # Each worse than all before: without that only the first would go on.
    pruned = {}
    for spared in (0, 3):
        options = {"name": "successive_halving", "min_resource": 1, "n_startup_trials": spared}
        known = optuna.create_study(pruner=build_pruner(options))
        pruned[spared] = []
        for value in range(6):
            trial = known.ask()
            trial.report(value, 1)
            pruned[spared].append(trial.should_prune())
            known.tell(trial, value)
    assert pruned == {0: [False] + 5 * [True], 3: 3 * [False] + 3 * [True]}


def first_draw(*, number: int, num_chosen: int = 0) -> float:
    """The first number that a fresh process draws for a trial."""
    sampler = build_sampler({"name": "random", "seed": 1}, number=number, num_chosen=num_chosen)
    trial = optuna.create_study(sampler=sampler).ask()
    return trial.suggest_float("x", 0.0, 1.0)


def test_a_trial_has_numbers_of_its_own_in_every_process() -> None:
    assert first_draw(number=3) == first_draw(number=3) != first_draw(number=4)


def test_the_parameter_after_a_kill_is_not_drawn_with_the_number_of_the_first() -> None:
    assert first_draw(number=3, num_chosen=1) != first_draw(number=3)
    assert first_draw(number=3, num_chosen=1) != first_draw(number=3, num_chosen=2)
