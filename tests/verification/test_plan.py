"""The plan: which remedies are tried, and how many runs they cost."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from pipeline.diagnosis.faults import remedies_by_name
from pipeline.diagnosis.record import Remedy
from pipeline.diagnosis.remedies import more_epochs
from pipeline.errors import ConfigError
from pipeline.verification.plan import (
    VerificationOptions,
    combinations,
    num_runs,
    plan_of,
    remedies_to_try,
)
from verification_cases import options, patient


def names(verdict: str, asked: VerificationOptions, *overrides: str) -> list[str]:
    return [remedy.name for remedy in remedies_to_try(patient(verdict, *overrides), asked)]


def test_the_diagnosis_offers_its_first_remedies_and_a_combination() -> None:
    offered = names("overfitting", options())
    assert offered == ["more_data", "dropout", "augment", "more_data+dropout"]


def test_a_healthy_run_is_offered_nothing_but_takes_a_named_remedy() -> None:
    assert plan_of(patient("healthy"), options()) is None
    assert names("healthy", options(remedies=("l2",))) == ["l2"]


def test_a_run_without_a_verdict_is_offered_what_its_diagnosis_holds_worth_a_try() -> None:
    found = patient("healthy", "trainer.max_epochs=3")
    longer = more_epochs(found.settings, times=4)
    open_one = replace(
        found, diagnosis=replace(found.diagnosis, verdict="undetermined", remedies=(longer,))
    )
    assert remedies_to_try(open_one, options()) == [longer]
    assert remedies_to_try(open_one, options(remedies=("more_epochs",))) == [longer]
    nothing = replace(open_one, diagnosis=replace(open_one.diagnosis, remedies=()))
    assert plan_of(nothing, options()) is None


@pytest.mark.parametrize(("budget", "arms"), [(num_runs(2, 5), 2), (num_runs(3, 5) - 1, 2)])
def test_a_budget_buys_whole_arms(budget: int, arms: int) -> None:
    assert len(names("overfitting", options(budget=budget))) == arms


@pytest.mark.parametrize(
    ("arms", "runs"),
    [
        pytest.param(1, 3 * 5 + 2 + 4, id="one_arm_and_two_draws"),
        pytest.param(3, 5 * 5 + 2 * 5 + 4, id="draws_cost_as_much_as_further_arms"),
    ],
)
def test_the_runs_are_base_arms_reseed_draws_and_best_draw(arms: int, runs: int) -> None:
    assert num_runs(arms, 5) == runs


def test_a_plan_counts_its_runs_seeds_and_draws() -> None:
    plan = plan_of(patient(), options(remedies=("l2", "dropout"), seeds=3))
    assert plan is not None
    assert (plan.seeds, plan.reseeds) == ((0, 1, 2), (1000, 1001, 1002))
    assert len(plan.draws) == 3
    assert plan.num_runs == plan.cost == 4 * 3 + 3 + 2


def test_a_remedy_that_takes_longer_costs_more() -> None:
    plan = plan_of(patient(), options(remedies=("more_data",), seeds=3))
    assert plan is not None
    assert plan.cost - plan.num_runs == 3  # twice the data, three seeds


@pytest.mark.parametrize(
    ("second", "combined"),
    [
        pytest.param("model.dropout=0.5", ["first+second"], id="other_group"),
        pytest.param("data.label_noise=0.0", [], id="same_group"),
    ],
)
def test_only_remedies_of_different_groups_are_combined(second: str, combined: list[str]) -> None:
    offered = [Remedy("first", ("data.fraction=1.0",), ""), Remedy("second", (second,), "")]
    assert [remedy.name for remedy in combinations(offered)] == combined


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (options(seeds=1), "must be 3 or more"),
        (options(budget=10), r"cannot decide anything\. One remedy .* needs 21 runs"),
        (options(remedies=("dropuot",)), "dropout"),
        (options(remedies=("zero_bias",)), "without effect"),
        (options(remedies=("l2", "l2")), "name l2 once"),
        (options(remedies=("dropout", "augment", "l2", "l1", "early_stopping")), "Name fewer"),
    ],
    ids=["seeds", "budget", "typo", "without_effect", "twice", "too_many"],
)
def test_a_plan_that_decides_nothing_is_refused(asked: VerificationOptions, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_of(patient(), asked)


def test_a_remedy_that_is_in_force_is_refused() -> None:
    asked = options(remedies=("dropout",))
    assert names("overfitting", asked) == ["dropout"]
    with pytest.raises(ConfigError, match="in force already"):
        names("overfitting", asked, "model.dropout=0.5")


def test_a_remedy_of_the_diagnosis_is_taken_by_the_name_that_it_has_there() -> None:
    """Its strength comes from the evidence, which settings alone do not hold."""
    slow = patient("learning_rate_too_low", "optimizer.learning_rate=1e-5")
    remedies = slow.diagnosis.findings[0].remedies
    (offered,) = (remedy for remedy in remedies if remedy.name == "learning_rate*300")
    assert offered.name not in remedies_by_name(slow.settings)
    plan = plan_of(slow, options(remedies=(offered.name,)))
    assert plan is not None and plan.remedies == (offered,)


@pytest.mark.parametrize(
    ("sweep", "jobs"),
    [
        ((), 1),
        (("n_jobs=2",), 2),
        (("hydra.sweeper.n_jobs=3", "hydra/launcher=joblib"), 3),
        (("n_jobs=-1",), os.cpu_count()),
        pytest.param(("n_jobs=8", "hydra/launcher=slurm"), None, id="other_machines"),
    ],
)
def test_the_runs_side_by_side_are_those_of_the_sweep(
    sweep: tuple[str, ...], jobs: int | None
) -> None:
    assert options(sweep=sweep).num_jobs == jobs
