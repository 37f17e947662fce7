"""The judgement: the arm that is chosen, and the sentence on the result."""

from __future__ import annotations

import pytest

from pipeline.diagnosis.paired_trials import judge, log_gains, relative_reduction, seeds_needed
from pipeline.diagnosis.proof import Undecided
from pipeline.records import Estimate
from pipeline.verification.judgement import FEW_SEEDS, best_confirmed
from pipeline.verification.plan import num_runs
from verification_cases import (
    AS_IT_WAS,
    BASE,
    HIGHER,
    MUCH_LOWER,
    SLIGHTLY_LOWER,
    UNSURE_GAINS,
    arm,
    claim,
    verification,
)

WORSE = arm("l1", (0.42, 0.51, 0.44, 0.57, 0.43))
SURE = Estimate(0.2, 0.1, 0.3, 5)


def test_an_arm_that_removes_the_symptom_is_chosen_before_one_that_gains_more() -> None:
    much_lower_still = tuple(0.9 * loss for loss in MUCH_LOWER)
    arms = [arm("cured", MUCH_LOWER), arm("sick", much_lower_still, "overfitting")]
    chosen = best_confirmed(judge(BASE, arms, symptom="overfitting"))
    assert chosen is not None and chosen.name == "cured"


def test_no_arm_is_chosen_where_none_is_confirmed() -> None:
    assert best_confirmed(judge(BASE, [arm("a", HIGHER)], symptom="overfitting")) is None


def test_a_proof_names_the_gain_the_controls_and_the_symptom() -> None:
    found = verification(arm("more_data", MUCH_LOWER), claimed=claim(SURE, "more_data"))
    assert found.proved and found.undecided is None
    assert found.sentence == (
        "mlp: proved: more data lowers test loss by 20 % [10, 30] over 5 paired seeds; a reseed "
        "changes it by 0 % [0, 0], random search of equal cost lowers it by 0 % [0, 0]. "
        "Overfitting is gone."
    )


@pytest.mark.parametrize(
    ("symptom", "verdict", "end"),
    [
        (
            "overfitting",
            "overfitting",
            "5 of 5 runs with it are still overfitting, so more may be gained.",
        ),
        ("healthy", "healthy", "lowers it by 0 % [0, 0]."),
        (
            "undetermined",
            "undetermined",
            "5 of 5 runs with it are still undetermined, so more may be gained.",
        ),
        ("undetermined", "healthy", "The verdict is no longer undetermined."),
    ],
)
def test_the_sentence_says_whether_the_symptom_is_gone(
    symptom: str, verdict: str, end: str
) -> None:
    treated = arm("dropout", MUCH_LOWER, verdict)
    found = verification(treated, claimed=claim(SURE), symptom=symptom)
    assert found.sentence.endswith(end)


def test_too_few_seeds_are_reported_with_the_number_that_the_nearest_arm_needs() -> None:
    smaller = arm("l2", (0.37, 0.52, 0.45, 0.54, 0.42))
    found = verification(arm("dropout", SLIGHTLY_LOWER), smaller, WORSE)
    gains = log_gains(AS_IT_WAS, SLIGHTLY_LOWER)
    needed = seeds_needed(relative_reduction(gains, comparisons=3))
    assert needed is not None
    assert found.undecided == Undecided("dropout", needed, num_runs(1, needed))
    assert "cannot be decided with this budget, 5 paired seeds" in found.sentence
    assert f"Dropout needs about {needed} seeds" in found.sentence
    calm = "Train mlp again so that they differ less"
    assert (calm in found.sentence) == (needed > FEW_SEEDS)


def test_runs_that_differ_by_their_seed_are_to_be_calmed_first() -> None:
    factors = (0.5, 1.5, 0.6, 1.2, 0.7)  # better in three of five
    wild = tuple(a * b for a, b in zip(AS_IT_WAS, factors, strict=True))
    found = verification(arm("dropout", wild))
    assert found.undecided is not None and found.undecided.seeds > FEW_SEEDS
    assert "again so that they differ less, then verify: schedule=cosine" in found.sentence


def test_arms_that_do_not_help_leave_nothing_undecided() -> None:
    found = verification(WORSE)
    assert found.undecided is None
    assert found.sentence == "mlp: no remedy is confirmed over 5 paired seeds."


def test_an_unsure_test_loss_is_reported_with_the_number_of_seeds_that_it_needs() -> None:
    reduction = relative_reduction(UNSURE_GAINS)
    found = verification(arm("dropout", MUCH_LOWER), claimed=claim(reduction))
    assert not found.proved
    wanted = (
        "not proved. It cannot be decided with this budget. "
        f"Dropout needs about {seeds_needed(reduction)} seeds"
    )
    assert wanted in found.sentence


def test_more_seeds_are_not_asked_for_where_the_test_loss_seems_to_rise() -> None:
    found = verification(
        arm("dropout", MUCH_LOWER), claimed=claim(relative_reduction(-UNSURE_GAINS))
    )
    assert found.undecided is None
    assert found.sentence.endswith("not proved.")
