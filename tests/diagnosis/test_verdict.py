"""How the findings of all faults become one verdict."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from pipeline.diagnosis import Context, Diagnosis, History, diagnose
from planted_history import EPOCHS, FAULTS, history, losses_around


def guessing_with_dead_units() -> Diagnosis:
    """Dead units, with answers that are no better than guessing."""
    level = np.full(EPOCHS, 2.3)
    guessing = {"train": level, "val": level, "train_wrong": 0.9, "val_wrong": 0.9}
    return diagnose(history(**FAULTS["dead_units"] | guessing))


def curves_alone(curve: np.ndarray, *, num_classes: int | None = 10) -> Diagnosis:
    """The diagnosis of a run of which one curve, of training and validation alike, is known."""
    curves = {"val/loss": curve, "train/loss": curve}
    context = Context(num_classes=num_classes)
    return diagnose(History(np.arange(len(curve)), curves, context=context))


# --- causes, consequences, open questions ---------------------------------------------------------


def test_a_healthy_run_is_called_healthy_and_no_fault_comes_near() -> None:
    found = diagnose(history())
    assert found.verdict == "healthy"
    assert found.confidence > 0.9
    assert not found.findings
    assert not found.undecided
    assert not found.not_run


def test_a_cause_takes_its_consequences_with_it() -> None:
    """Dead units learn nothing and pass no gradient: one cause is named, the rest follows."""
    found = guessing_with_dead_units()
    assert [f.verdict for f in found.findings] == ["dead_units"]
    assert {"not_learning", "underfitting"} <= {f.verdict for f in found.follow}


def test_evidence_near_its_limit_gives_no_verdict() -> None:
    rise = 0.25 * np.append(np.ones(EPOCHS - 1), 1.05)  # 5 % is where a rise begins to count
    found = diagnose(history(train=np.full(EPOCHS, 0.08), val=rise, train_wrong=0.02))
    assert found.verdict == "undetermined"
    assert found.reason == "overfitting: too close to the limit to decide"
    assert [f.verdict for f in found.undecided] == ["overfitting"]


def test_only_causes_carry_remedies() -> None:
    found = guessing_with_dead_units()
    assert not any(f.remedies for f in (*found.follow, *found.ruled_out))


# --- the second guess -----------------------------------------------------------------------------


def test_without_the_cause_its_strongest_consequence_would_be_named() -> None:
    found = guessing_with_dead_units()
    assert found.ranked[:2] == ("dead_units", "not_learning")
    assert len(set(found.ranked)) == len(found.ranked)


def test_the_second_guess_of_a_healthy_run_is_its_likeliest_fault() -> None:
    found = diagnose(history())
    likeliest = max(found.ruled_out, key=lambda f: f.probability)
    assert found.ranked[:2] == ("healthy", likeliest.verdict)


def test_where_nothing_else_stands_the_second_guess_is_healthy() -> None:
    found = diagnose(history(**FAULTS["overfitting"]))
    assert [f.verdict for f in (*found.findings, *found.follow, *found.undecided)] == [
        "overfitting"
    ]
    assert found.ranked[:2] == ("overfitting", "healthy")


# --- histories that hold little -------------------------------------------------------------------


def test_one_epoch_of_curves_is_undetermined() -> None:
    found = curves_alone(np.array([0.9]), num_classes=None)
    assert found.verdict == "undetermined"
    assert "one point" in found.reason


@pytest.mark.parametrize("lacking", ["train", "val"])
def test_without_one_of_the_two_losses_a_run_is_undetermined(lacking: str) -> None:
    whole = history(signals=False)
    curves = {k: v for k, v in whole.curves.items() if not k.startswith(f"{lacking}/")}
    found = diagnose(replace(whole, curves=curves))
    assert found.verdict == "undetermined"
    missing = {n.verdict: n.missing for n in found.not_run}
    assert f"the curve {lacking}/loss" in missing["overfitting"]


@pytest.mark.parametrize("epochs", [1, 2, 8])
def test_a_loss_that_never_was_a_number_is_unstable_of_an_open_fault(epochs: int) -> None:
    """Steps that are too large lose it, and so does a broken input: the family alone is sure."""
    found = curves_alone(np.full(epochs, math.nan))
    assert (found.verdict, found.family) == ("undetermined", "unstable")
    assert found.family_confidence >= 0.9
    assert "no loss was ever a finite number" in found.reason
    assert "input is broken" in found.reason
    assert found.likely[0].probability == 0.5


@pytest.mark.parametrize(
    ("start", "verdict"),
    [(2.5, "learning_rate_too_high"), (60.0, "exploding_gradients"), (math.nan, "undetermined")],
)
@pytest.mark.parametrize("epochs", [1, 2, 8])
def test_a_loss_lost_in_the_first_epoch_is_judged_by_its_value_before(
    epochs: int, start: float, verdict: str
) -> None:
    """The signals measured it before the first step: sane, wild, or not a number then already."""
    nothing = np.full(epochs, math.nan)
    examples = losses_around(np.append(start, nothing), seed=0)
    lost = {"train": nothing, "val": nothing}
    signals = {"train__loss_per_example": examples, "val__loss_per_example": examples}
    found = diagnose(history(**lost, **signals))
    assert found.verdict == verdict
    assert found.family == ("" if verdict == "undetermined" else "unstable")
    assert ("before the first step" in found.reason) == math.isnan(start)


def test_without_a_loss_before_training_a_lost_one_is_unstable_of_an_open_fault() -> None:
    nothing = np.full(EPOCHS, math.nan)
    run = history(train=nothing, val=nothing)
    found = diagnose(replace(run, signals=None))
    assert found.told_by == "rules"
    assert (found.verdict, found.family) == ("undetermined", "unstable")
    assert "input is broken" in found.reason


def test_a_validation_loss_that_never_was_a_number_is_not_blamed_on_the_steps() -> None:
    """Validation images are damaged: training goes well, their loss was lost before it."""
    nothing = np.full(EPOCHS, math.nan)
    examples = losses_around(np.append(math.nan, nothing), seed=1)
    assert diagnose(history(val=nothing, val__loss_per_example=examples)).verdict == "undetermined"


def test_a_loss_that_becomes_infinite_is_a_learning_rate_that_is_too_high() -> None:
    found = curves_alone(np.array([1.2, 0.9, math.inf, math.nan]))
    assert found.verdict == "learning_rate_too_high"
