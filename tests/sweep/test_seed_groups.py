"""Trials that differ in their seed only: ranked together, by a mean worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.distributions import IntDistribution

from pipeline.sweep.seed_groups import has_seed, is_seed, seed_groups, study_front, summary
from sweep_process import run


@dataclass
class Trial:
    number: int
    params: dict[str, Any]
    values: tuple[float, ...] = ()
    state: str = field(default="complete")


def grid(*rows: tuple[float, int, float]) -> list[Trial]:
    """Trials from (dropout, seed, value)."""
    return [
        Trial(number, {"model.dropout": dropout, "seed": seed}, (value,))
        for number, (dropout, seed, value) in enumerate(rows)
    ]


# The best single run has dropout 0, and the best mean has 0.5.
LUCKY = grid((0.0, 0, 1.0), (0.0, 1, 5.0), (0.5, 0, 2.0), (0.5, 1, 2.5))


def test_a_lucky_seed_does_not_win() -> None:
    best, other = seed_groups(LUCKY, direction="minimize")
    assert best.params == {"model.dropout": 0.5}
    assert (best.mean, other.mean) == (2.25, 3.0)
    assert best.spread == pytest.approx(0.5 / 2**0.5)
    assert [trial.number for trial in best.trials] == [2, 3]


def test_the_direction_decides() -> None:
    assert seed_groups(LUCKY, direction="maximize")[0].params == {"model.dropout": 0.0}


@pytest.mark.parametrize("state", ["failed", "pruned"])
def test_settings_that_lost_a_seed_come_last(state: str) -> None:
    lost = Trial(9, {"model.dropout": 0.9, "seed": 0}, (), state)
    survivor = Trial(10, {"model.dropout": 0.9, "seed": 1}, (0.1,))
    groups = seed_groups([*LUCKY, lost, survivor], direction="minimize")
    assert groups[-1].params == {"model.dropout": 0.9}
    # Without the loss it is the best: the rule above is what moves it.
    assert seed_groups([*LUCKY, survivor], direction="minimize")[0].params == groups[-1].params


@pytest.mark.parametrize("all_lost", [False, True])
def test_settings_that_lost_a_seed_are_not_on_a_front_of_whole_ones(all_lost: bool) -> None:
    """The seed that is left may be the lucky one: here it beats the others in both objectives."""
    study = optuna.create_study(directions=["minimize", "minimize"])
    for width, seed, values in (
        (1, 0, (1.0, 2.0)),
        (1, 1, None if all_lost else (1.0, 2.0)),
        (2, 0, None),
        (2, 1, (0.1, 0.1)),
    ):
        trial = study.ask(
            {"width": IntDistribution(width, width), "seed": IntDistribution(seed, seed)}
        )
        study.tell(trial, values, state=None if values else optuna.trial.TrialState.FAIL)
    assert [group.params["width"] for group in study_front(study)] == [2 if all_lost else 1]


KEYS = {"seed": True, "+seed": True, "trainer.seed": True, "data.split_seed": False, "x": False}


@pytest.mark.parametrize(("key", "expected"), KEYS.items(), ids=KEYS)
def test_a_seed_is_known_by_its_name(key: str, expected: bool) -> None:
    assert is_seed(key) is expected and has_seed(["x", key]) is expected


def test_nothing_but_seeds_has_no_best() -> None:
    trials = [Trial(i, {"seed": i}, (value,)) for i, value in enumerate((1.0, 2.0, 3.0))]
    assert summary(seed_groups(trials, direction="minimize")) == "mean 2 ± 1 over 3 seeds"


def test_a_multirun_over_seeds_ends_with_their_mean(tmp_path: Path) -> None:
    """x=2 gives 1 whatever the seed, and x=1 gives 4."""
    printed = run(tmp_path, "x=1,2", "seed=0,1,2")
    assert printed.splitlines()[-1] == "best mean: 1 ± 0 over 3 seeds: x=2"
    assert "best 1" not in printed
    results = yaml.safe_load((tmp_path / "multirun" / "optimization_results.yaml").read_text())
    assert results["best_params"] == {"x": 2} and results["best_value"] == 1.0
    assert results["best_trials"] == [3, 4, 5] and results["standard_deviation"] == 0.0


def test_several_objectives_have_a_front_of_means(tmp_path: Path) -> None:
    """x=3 gives (0, 3) and x=1 gives (4, 1) on average; x=9 is beaten. Seeds shift them by ±5."""
    two = ("two=true", "hydra.sweeper.direction=[minimize,minimize]")
    printed = run(tmp_path, "x=1,3,9", "seed=0,1,2", "noise=5", *two)
    assert "2 settings on the Pareto front, by their means over seeds" in printed
    results = yaml.safe_load((tmp_path / "multirun" / "optimization_results.yaml").read_text())
    found = {s["params"]["x"]: s["values"] for s in results["solutions"]}
    assert found == {1: [4.0, 1.0], 3: [0.0, 3.0]}
    assert results["solutions"][0]["trials"] == [3, 4, 5]
