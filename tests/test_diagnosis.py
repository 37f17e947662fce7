"""The diagnosis on histories whose fault is known, and the numbers that it judges in closed form."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.diagnosis import Context, History, diagnose
from pipeline.diagnosis.as_json import to_json
from pipeline.diagnosis.finding import Missing, above, below, either
from pipeline.diagnosis.measures import Measures
from pipeline.diagnosis.rules import RULES
from pipeline.errors import DataError
from planted_history import EPOCHS, FAULTS, LAYERS, N, history, losses_around

# --- verdicts --------------------------------------------------------------------------------------


def test_a_healthy_run_is_called_healthy_and_no_rule_comes_near() -> None:
    found = diagnose(history())
    assert found.verdict == "healthy" and found.confidence > 0.9
    assert not found.findings and not found.open and not found.not_run


@pytest.mark.parametrize("verdict", FAULTS)
def test_each_planted_fault_is_found_as_what_it_is(verdict: str) -> None:
    found = diagnose(history(**FAULTS[verdict]))
    assert found.verdict == verdict, found
    assert found.confidence > 0.8 and found.ranked[0] == verdict


def test_every_rule_has_a_planted_fault_and_a_whole_card() -> None:
    assert {rule.verdict for rule in RULES} == set(FAULTS)
    for rule in RULES:
        for text in (rule.what, rule.harm, rule.decides, rule.fails, rule.source):
            assert len(text) > 20 and text.endswith("."), (rule.verdict, text)
        assert rule.explains <= set(FAULTS) - {rule.verdict}


@pytest.mark.parametrize("verdict", FAULTS)
def test_without_its_symptom_the_fault_is_not_named(verdict: str) -> None:
    """The twin has every number of the fault but the one that the rule is about."""
    cured: dict[str, dict[str, Any]] = {
        "over_regularized": {"penalty_gradient_share": np.zeros(EPOCHS + 1)},
        "learning_rate_too_low": {"layers__last_update_ratio": np.full((EPOCHS + 1, LAYERS), 3e-3)},
        "vanishing_gradients": {"layers__gradient_norm": np.full((EPOCHS + 1, LAYERS), 0.1)},
        "dead_units": {"units__dead": np.zeros((EPOCHS + 1, LAYERS - 1))},
        "label_noise": {"train_wrong": 0.06},
        "not_learning": {"val_wrong": 0.5, "val": np.full(EPOCHS, 2.0), "train": np.full(EPOCHS, 1.99)},
    }
    planted = FAULTS[verdict] | cured.get(verdict, {"train": None, "val": None})
    if verdict == "exploding_gradients":
        planted = {}
    assert diagnose(history(**planted)).verdict != verdict


def test_a_cause_takes_its_symptoms_with_it() -> None:
    """Dead units learn nothing and pass no gradient: one cause is named, the rest follows from it."""
    fault = FAULTS["dead_units"] | {
        "train": np.full(EPOCHS, 2.3),
        "val": np.full(EPOCHS, 2.3),
        "train_wrong": 0.9,
        "val_wrong": 0.9,
    }
    found = diagnose(history(**fault))
    assert [f.verdict for f in found.findings] == ["dead_units"]
    assert {"not_learning", "underfitting"} <= {f.verdict for f in found.follow}


def test_evidence_that_straddles_its_limit_gives_no_verdict() -> None:
    rise = 0.25 * np.append(np.ones(EPOCHS - 1), 1.05)  # 5 % is where a rise begins to count
    run = history(train=np.full(EPOCHS, 0.08), val=rise, train_wrong=0.02)
    found = diagnose(run)
    assert found.verdict == "undetermined" and found.reason.startswith("overfitting")
    assert [f.verdict for f in found.open] == ["overfitting"]


def test_curves_alone_tell_overfitting_and_name_the_rules_that_could_not_run() -> None:
    whole = history(**FAULTS["overfitting"])
    curves = {k: v for k, v in whole.curves.items() if "cross_entropy" not in k and k != "train/objective"}
    found = diagnose(History(whole.epochs, curves, context=Context(num_classes=10)))
    assert found.verdict == "overfitting"
    lacking = dict(found.not_run)
    assert {"vanishing_gradients", "dead_units", "learning_rate_too_low"} <= set(lacking)
    assert "signals=standard" in lacking["dead_units"]


def test_the_weights_of_the_best_epoch_are_not_blamed_for_later_ones() -> None:
    val = np.append(np.full(6, 0.25), np.linspace(0.26, 0.4, 6))
    run = {"train": np.full(EPOCHS, 0.12), "val": val, "train_wrong": 0.02}
    assert diagnose(history(**run)).verdict == "overfitting"
    assert diagnose(history(**run, kept_epoch=5)).verdict == "healthy"


# --- histories that say little ----------------------------------------------------------------------


def test_one_epoch_of_curves_is_undetermined() -> None:
    run = History(np.array([0]), {"val/loss": np.array([0.9]), "train/loss": np.array([0.9])})
    found = diagnose(run)
    assert found.verdict == "undetermined" and "could not be judged" in found.reason


@pytest.mark.parametrize("epochs", [1, 2, 8])
def test_not_a_number_from_the_start_is_never_a_confident_verdict(epochs: int) -> None:
    nothing = np.full(epochs, math.nan)
    run = History(
        np.arange(epochs), {"val/loss": nothing, "train/loss": nothing}, context=Context(num_classes=10)
    )
    found = diagnose(run)
    assert found.verdict == "undetermined" and "one number in the curve" in found.reason


@pytest.mark.parametrize(
    ("start", "verdict"),
    [(2.5, "learning_rate_too_high"), (60.0, "exploding_gradients"), (math.nan, "undetermined")],
)
@pytest.mark.parametrize("epochs", [1, 2, 8])
def test_a_loss_lost_in_the_first_epoch_is_told_by_what_it_was_before(
    epochs: int, start: float, verdict: str
) -> None:
    """Before the first step the signals measured it: sane, wild, or not a number then already."""
    nothing = np.full(epochs, math.nan)
    examples = losses_around(np.append(start, nothing), seed=0)
    run = history(
        train=nothing, val=nothing, train__loss_per_example=examples, val__loss_per_example=examples
    )
    assert diagnose(run).verdict == verdict


def test_a_validation_loss_that_was_never_a_number_is_not_blamed_on_the_steps() -> None:
    """Damaged validation images: training goes well, and the loss on them was lost before the first step."""
    nothing = np.full(EPOCHS, math.nan)
    examples = losses_around(np.append(math.nan, nothing), seed=1)
    assert diagnose(history(val=nothing, val__loss_per_example=examples)).verdict == "undetermined"


def test_a_loss_that_becomes_infinite_is_a_rate_that_is_too_high() -> None:
    val = np.array([1.2, 0.9, math.inf, math.nan])
    run = History(np.arange(4), {"val/loss": val, "train/loss": val}, context=Context(num_classes=10))
    assert diagnose(run).verdict == "learning_rate_too_high"


@pytest.mark.parametrize(
    ("epochs", "curves", "word"),
    [
        (0, {"val/loss": []}, "no epoch"),
        (3, {"val/loss": [1.0, 0.9]}, "2 values for 3 epochs"),
        (2, {"speed": [1.0, 0.9]}, "no known curve"),
        (2, {}, "no known curve"),
    ],
)
def test_a_history_that_is_none_is_refused(epochs: int, curves: dict[str, list[float]], word: str) -> None:
    with pytest.raises(DataError, match=word):
        History(np.arange(epochs), {k: np.array(v) for k, v in curves.items()})


def test_epochs_that_go_back_are_refused() -> None:
    with pytest.raises(DataError, match="must increase"):
        History(np.array([0, 2, 1]), {"val/loss": np.ones(3)})


@pytest.mark.parametrize("lacking", ["train", "val"])
def test_half_a_history_is_judged_as_far_as_it_goes(lacking: str) -> None:
    whole = history(signals=False)
    curves = {k: v for k, v in whole.curves.items() if not k.startswith(f"{lacking}/")}
    found = diagnose(replace(whole, curves=curves))
    assert found.verdict == "undetermined" and found.not_run


# --- the numbers ----------------------------------------------------------------------------------------


def test_progress_is_the_rate_of_an_exponential() -> None:
    val = 2.0 * np.exp(-0.1 * np.arange(EPOCHS))
    found = Measures(history(val=val)).val_progress
    assert found.value == pytest.approx(1 - math.exp(-0.1), rel=1e-6)
    assert found.error == pytest.approx(0, abs=1e-6) and found.epochs == (9, 12)


def test_a_rise_is_measured_on_the_half_that_did_not_choose_it() -> None:
    """Pure noise around one level: the luckiest epoch looks better by choice, not on the other half."""
    noise = np.random.default_rng(0).gamma(1.0, 0.3, size=(31, N)).astype(np.float32)
    val = noise[1:].mean(1).astype(np.float64)
    run = history(train=np.full(30, 0.3), val=val, val__loss_per_example=noise, train__loss_per_example=noise)
    rises = Measures(run).rise
    assert abs(rises.value) < 3 * rises.error
    assert (val[-1] - val.min()) / val.min() > 0  # what a naive rule would call a rise


def test_a_true_rise_is_found_with_its_size() -> None:
    val = np.append(np.full(6, 0.25), np.full(6, 0.30))
    found = Measures(history(val=val)).rise
    assert found.value == pytest.approx(0.2, rel=1e-5) and found.epochs == (1, 12)


def test_the_gap_is_the_share_that_training_images_do_not_have() -> None:
    run = history(train=np.full(EPOCHS, 0.05), val=np.full(EPOCHS, 0.20))
    found = Measures(run).gap
    assert found.value == pytest.approx(0.75)
    losses = {
        p: losses_around(np.array([m]), seed=s)[0] for p, m, s in (("train", 0.05, 0), ("val", 0.20, 1))
    }
    by_delta = np.hypot(losses["train"].std(), losses["val"].std() * 0.25) / math.sqrt(N) / 0.20
    assert found.error == pytest.approx(by_delta, rel=1e-4)


def test_a_wrong_share_carries_binomial_noise() -> None:
    found = Measures(history(val_wrong=0.06)).errors("val", 3)
    assert found.value == pytest.approx(0.06)
    p = (60 + 2) / (N + 4)  # Agresti and Coull
    assert found.error == pytest.approx(math.sqrt(p * (1 - p) / N))


def test_depth_is_judged_from_the_first_layer_to_the_last_hidden_one() -> None:
    norms = np.tile([1e-4, 1e-3, 1e-2, 5.0], (EPOCHS + 1, 1))
    assert Measures(history(layers__gradient_norm=norms)).depth_ratio(0) == pytest.approx(1e-2)


def test_ripples_near_zero_are_not_roughness() -> None:
    ripples = np.where(np.arange(EPOCHS) % 2, 1e-3, 2e-3)
    assert Measures(history(train=ripples)).roughness.value < 0.01
    assert Measures(history(train=1000 * ripples)).roughness.value > 0.4


@pytest.mark.parametrize(
    ("value", "kind", "options", "probability"),
    [
        (1.0, above, {"limit": 1.0, "grey": 0.1}, 0.5),
        (1.1, above, {"limit": 1.0, "grey": 0.1}, 0.8413),
        (1.1, below, {"limit": 1.0, "grey": 0.1}, 0.1587),
        (1.5, above, {"limit": 1.0, "grey": 0.3, "error": 0.4}, 0.8413),  # 3-4-5
        (math.e, above, {"limit": 1.0, "grey": 1.0, "log": True}, 0.8413),
        (0.0, below, {"limit": 1.0, "grey": 1.0, "log": True}, 1.0),
        (math.inf, above, {"limit": 1.0, "grey": 1.0, "log": True}, 1.0),
    ],
)
def test_a_condition_s_probability_is_normal(
    value: float, kind: Any, options: Any, probability: float
) -> None:
    assert kind("x", value, **options).probability == pytest.approx(probability, abs=1e-4)


def test_a_number_that_is_none_is_missing() -> None:
    with pytest.raises(Missing):
        above("x", math.nan, limit=1.0, grey=1.0)
    with pytest.raises(Missing):
        either([])


@pytest.mark.parametrize("verdict", FAULTS)
def test_a_diagnosis_is_valid_json_without_numbers_that_are_none(verdict: str, tmp_path: Path) -> None:
    told = json.loads(json.dumps(to_json(diagnose(history(**FAULTS[verdict])), {}), allow_nan=False))
    assert told["verdict"] == verdict
    first = told["findings"][0]
    assert first["probability"] == min(c["probability"] for c in first["conditions"])


def cards_as_markdown() -> str:
    """The cards of all rules, as docs/diagnosis.md has them."""
    lines = ["## The rules", ""]
    for rule in RULES:
        explained = ", ".join(sorted(rule.explains)) or "nothing"
        lines += [f"### {rule.verdict}", rule.what, ""]
        lines += [f"* Harm: {rule.harm}", f"* Decides: {rule.decides}", f"* Fails: {rule.fails}"]
        lines += [f"* Source: {rule.source}", f"* Explains: {explained}", ""]
    return "\n".join(lines)


def test_the_documentation_has_the_cards_of_all_rules_as_they_are() -> None:
    text = (Path(__file__).parents[1] / "docs" / "diagnosis.md").read_text()
    assert cards_as_markdown() in text, cards_as_markdown()
