"""The arithmetic of paired trials, in closed form and by a second library."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pipeline.diagnosis.paired_trials import (
    CONFIRMED,
    HARMFUL,
    NOT_CONFIRMED,
    Arm,
    counted_loss,
    holm,
    judge,
    log_gains,
    nearest_to_decision,
    relative_reduction,
    seeds_needed,
)
from verification_cases import (
    AS_BEFORE,
    AS_IT_WAS,
    BASE,
    HIGHER,
    MUCH_LOWER,
    SLIGHTLY_LOWER,
    UNSURE_GAINS,
    arm,
)


def test_a_fall_of_a_fifth_in_every_pair_is_a_fifth_without_spread() -> None:
    reduction = relative_reduction(log_gains(AS_IT_WAS, [0.8 * x for x in AS_IT_WAS]))
    assert (reduction.value, reduction.low, reduction.high) == pytest.approx((0.2, 0.2, 0.2))


def test_the_interval_and_p_are_those_of_a_paired_t_test() -> None:
    losses = (0.30, 0.48, 0.33, 0.50, 0.36)
    by_scipy = stats.ttest_rel(np.log(AS_IT_WAS), np.log(losses))
    interval = by_scipy.confidence_interval(0.95)
    (judged,) = judge(BASE, [arm("a", losses)], symptom="overfitting")
    assert judged.p_value == pytest.approx(by_scipy.pvalue)
    assert judged.improvement.low == pytest.approx(1 - math.exp(-interval.low))
    assert judged.improvement.high == pytest.approx(1 - math.exp(-interval.high))


@pytest.mark.parametrize(
    ("raw", "adjusted"),
    [
        pytest.param([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02], id="textbook"),
        pytest.param([0.9, 0.8], [1.0, 1.0], id="never_above_1"),
        pytest.param([], [], id="none"),
    ],
)
def test_holm_adjusts_p_values(raw: list[float], adjusted: list[float]) -> None:
    assert holm(raw) == pytest.approx(adjusted)


@pytest.mark.parametrize(
    ("losses", "verdict_of_runs", "expected"),
    [
        pytest.param(MUCH_LOWER, "healthy", CONFIRMED, id="helps"),
        pytest.param(MUCH_LOWER, "overfitting", CONFIRMED, id="helps_but_symptom_stays"),
        pytest.param(MUCH_LOWER, "underfitting", NOT_CONFIRMED, id="new_symptom"),
        pytest.param(MUCH_LOWER, "undertrained", CONFIRMED, id="helps_and_goes_on"),
        pytest.param(HIGHER, "healthy", HARMFUL, id="harms"),
        pytest.param(AS_BEFORE, "healthy", NOT_CONFIRMED, id="within_noise"),
    ],
)
def test_losses_and_symptoms_decide_the_verdict_on_an_arm(
    losses: tuple[float, ...], verdict_of_runs: str, expected: str
) -> None:
    (judged,) = judge(BASE, [arm("a", losses, verdict_of_runs)], symptom="overfitting")
    assert judged.verdict == expected
    assert judged.symptom_share == (1.0 if verdict_of_runs == "overfitting" else 0.0)


def test_no_symptom_is_new_where_the_base_diverged() -> None:
    diverged = arm("base", (2.3,) * 5, "diverged")
    cured = arm("a", MUCH_LOWER, "underfitting")
    (judged,) = judge(diverged, [cured], symptom="learning_rate_too_high")
    assert (judged.verdict, judged.new_symptoms) == (CONFIRMED, ())
    (other,) = judge(BASE, [cured], symptom="learning_rate_too_high")
    assert (other.verdict, other.new_symptoms) == (NOT_CONFIRMED, ("underfitting",))


def test_a_run_that_diverges_still_has_the_symptom() -> None:
    verdicts = ("diverged", *["healthy"] * 4)
    one_of_five = Arm("b", (), (2.3, 0.31, 0.30, 0.29, 0.30), verdicts)
    (judged,) = judge(BASE, [one_of_five], symptom="learning_rate_too_high")
    assert judged.symptom_share == 0.2


def test_a_loss_counts_up_to_twice_that_of_guessing() -> None:
    given = (0.2, 1.0986, 1.5, 2.5, math.inf, math.nan, None)
    counted = [counted_loss(loss, guessing=1.1) for loss in given]
    assert counted == [0.2, 1.0986, 1.5, 2.2, 2.2, 2.2, 2.2]


def test_a_fall_from_above_the_loss_of_guessing_is_a_gain() -> None:
    """Losses of three classes, as a small network on few pictures had them, and with more epochs.

    The p-value is that of scipy's paired test of the logarithms. Cut at ln 3, it would be 0.06.
    """
    before, after = (1.03, 1.23, 1.33, 1.35, 1.50), (0.78, 1.06, 1.11, 0.74, 0.75)
    base, longer = (
        arm(name, tuple(counted_loss(loss, guessing=math.log(3)) for loss in losses))
        for name, losses in (("base", before), ("longer", after))
    )
    (judged,) = judge(base, [longer], symptom="undertrained")
    wanted = stats.ttest_rel(np.log(before), np.log(after)).pvalue
    assert judged.verdict == CONFIRMED
    assert judged.p_value == pytest.approx(wanted, rel=1e-6)


def test_the_most_helpful_arm_comes_first() -> None:
    arms = [arm("worse", HIGHER), arm("best", MUCH_LOWER), arm("small", SLIGHTLY_LOWER)]
    judged = judge(BASE, arms, symptom="overfitting")
    assert [j.name for j in judged] == ["best", "small", "worse"]


def test_the_same_gain_is_worth_less_among_many_arms() -> None:
    losses = (0.37, 0.49, 0.40, 0.54, 0.37)
    alone = judge(BASE, [arm("a", losses)], symptom="")[0]
    among_many = judge(BASE, [arm(str(i), losses) for i in range(8)], symptom="")[0]
    assert (alone.verdict, among_many.verdict) == (CONFIRMED, NOT_CONFIRMED)
    assert among_many.improvement.low < alone.improvement.low
    assert among_many.improvement.level == pytest.approx(1 - 0.05 / 8)


def test_noise_alone_is_seldom_confirmed() -> None:
    """At most 5 % of families of four arms, as Holm's method promises."""
    generator = np.random.default_rng(0)

    def noise(name: str) -> Arm:
        return arm(name, tuple(np.exp(generator.normal(-1, 0.1, 5))))

    def confirms() -> bool:
        judged = judge(noise("base"), [noise(str(i)) for i in range(4)], symptom="")
        return any(j.verdict == CONFIRMED for j in judged)

    assert sum(confirms() for _ in range(400)) / 400 < 0.05


@pytest.mark.parametrize("comparisons", [1, 4])
def test_the_needed_seeds_are_the_first_that_decide(comparisons: int) -> None:
    """With n such pairs the t interval just leaves 0; with one fewer it does not."""
    needed = seeds_needed(relative_reduction(UNSURE_GAINS, comparisons=comparisons))
    tail, spread = 0.5 + (1 - 0.05 / comparisons) / 2, UNSURE_GAINS.std(ddof=1)
    assert needed is not None
    reach = [stats.t.ppf(tail, n - 1) * spread / math.sqrt(n) for n in (needed - 1, needed)]
    assert reach[1] < UNSURE_GAINS.mean() < reach[0]


def test_a_reduction_of_nearly_all_has_its_needed_seeds_too() -> None:
    """Its upper end, 1 - exp(-39.7), is 1 in floating point."""
    gains = np.array([0.0, 0.0, 14.0])
    reduction = relative_reduction(gains, comparisons=4)
    assert reduction.high == 1.0
    needed = seeds_needed(reduction)
    assert needed is not None
    tail, spread = 0.5 + (1 - 0.05 / 4) / 2, gains.std(ddof=1)
    reach = [stats.t.ppf(tail, n - 1) * spread / math.sqrt(n) for n in (needed - 1, needed)]
    assert reach[1] < gains.mean() < reach[0]


def test_an_effect_next_to_nothing_would_need_too_many_seeds() -> None:
    assert seeds_needed(relative_reduction(np.array([1e-6, -1e-6, 1e-7]))) is None


def test_the_arm_nearest_to_a_decision_seems_to_help() -> None:
    slightly_higher = (0.42, 0.51, 0.44, 0.57, 0.43)
    arms = [arm("near", SLIGHTLY_LOWER), arm("far", AS_BEFORE), arm("worse", slightly_higher)]
    judged = judge(BASE, arms, symptom="overfitting")
    nearest = nearest_to_decision(judged)
    assert nearest is not None and nearest.name == "near"
    assert nearest_to_decision([j for j in judged if j.name == "worse"]) is None
