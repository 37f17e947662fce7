"""What tells faults apart that look alike, each beside a twin in which only that is different."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.diagnosis import Context, History, diagnose
from pipeline.diagnosis.measures import Measures, _luck
from pipeline.diagnosis.readers import read_curves
from planted_history import EPOCHS, FAULTS, LAYERS, history

KERAS = Path(__file__).parent / "fixtures" / "keras" / "tutorial_cnn.csv"
STEPS = np.arange(EPOCHS)
BY_HEART = 1.2 * np.exp(-0.6 * STEPS)  # to 0.0016 in the last epoch


def curves(**named: Any) -> History:
    """A history of curves alone; ``train__loss`` is the curve ``train/loss``."""
    found = {name.replace("__", "/"): np.asarray(values, dtype=float) for name, values in named.items()}
    return History(np.arange(len(next(iter(found.values())))), found, context=Context(num_classes=10))


# --- overfitting ------------------------------------------------------------------------------------


def test_what_reaches_validation_is_the_exponent_of_a_power_law() -> None:
    found = Measures(curves(train__loss=BY_HEART, val__loss=0.9 * BY_HEART**0.3)).transfer
    assert found.value == pytest.approx(0.3) and found.error == pytest.approx(0, abs=1e-6)


def test_only_the_last_sixteenfold_fall_counts() -> None:
    """Validation falls alike down to 16 times the last training loss, and stands from there on."""
    edge = 16 * np.median(BY_HEART[-3:])
    val = np.maximum(BY_HEART, BY_HEART[edge < BY_HEART].min())
    found = Measures(curves(train__loss=BY_HEART, val__loss=val)).transfer
    assert found.value == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("val", "verdict"),
    [(np.full(EPOCHS, 0.3), "overfitting"), (0.6 * BY_HEART**0.4, "healthy")],
    ids=["validation stands still", "validation comes along"],
)
def test_by_heart_is_a_fault_only_where_validation_has_nothing_of_it(val: np.ndarray, verdict: str) -> None:
    run = history(train=BY_HEART, val=val, train_wrong=0.0)
    assert diagnose(run).verdict == verdict


def test_a_spike_at_the_end_does_not_undo_what_was_known_by_heart() -> None:
    train = np.append(BY_HEART[:-1], 0.04)
    found = Measures(curves(train__loss=train, val__loss=np.full(EPOCHS, 0.3))).unlearnt
    assert found.value == pytest.approx(BY_HEART[-2] / 0.3) and found.epochs == (EPOCHS - 1, EPOCHS)


def test_where_the_idle_epochs_are_dropped_already_less_is_held_against_a_run() -> None:
    """4 % of the validation loss: too little at the end, allowed where training stopped at its best."""
    train = np.maximum(BY_HEART, 0.012)
    val = np.append(np.full(EPOCHS - 2, 0.3), [0.299, 0.3])
    run = {"train": train, "val": val, "train_wrong": 0.0}
    assert diagnose(history(**run)).verdict == "overfitting"
    assert diagnose(history(**run, kept_epoch=EPOCHS - 2)).verdict == "healthy"


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_luck_is_the_mean_of_the_lowest_of_normal_numbers(count: int) -> None:
    drawn = np.random.default_rng(0).normal(size=(20_000, count)).min(1)
    assert _luck(count) == pytest.approx(-drawn.mean(), abs=0.03)


def test_the_luckiest_epoch_of_a_noisy_curve_is_no_rise() -> None:
    """Twenty curves that only shake: taken as they are the mean rise would be 10 %."""
    generator = np.random.default_rng(0)
    naive, found = [], []
    for _ in range(20):
        val = 0.3 * np.exp(0.07 * generator.normal(size=16))
        naive.append(val[-1] / val.min() - 1)
        found.append(Measures(curves(train__loss=np.full(16, 0.1), val__loss=val)).rise.value)
    assert np.mean(naive) > 0.1
    assert abs(np.mean(found)) < 0.04


def test_the_trend_of_a_curve_is_its_rise_whatever_the_last_epoch_says() -> None:
    val = np.append(0.3, 0.3 * np.exp(0.02 * np.arange(1, 16)))
    lucky = np.append(val[:-1], 0.31)
    for curve in (val, lucky):
        found = Measures(curves(train__loss=np.full(16, 0.1), val__loss=curve)).rise
        assert found.value == pytest.approx(np.exp(0.02 * 15) - 1, rel=0.02)


def test_the_training_that_keras_logged_overfits() -> None:
    found = diagnose(read_curves(KERAS, num_classes=10))
    assert found.verdict == "overfitting" and found.confidence > 0.9


# --- a learning rate that is too high ---------------------------------------------------------------

RIPPLES = np.where(STEPS % 2, 0.40, 0.43)


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "learning_rate_too_high"),
        ({"layers__last_update_ratio": np.full((EPOCHS + 1, LAYERS), 3e-3)}, None),
        ({"train": np.linspace(0.43, 0.4, EPOCHS)}, None),
    ],
    ids=["large steps and ripples", "usual steps", "a smooth loss"],
)
def test_ripples_count_where_the_steps_are_large(changed: dict[str, Any], verdict: str | None) -> None:
    run: dict[str, Any] = {
        "train": RIPPLES,
        "val": RIPPLES + 0.05,
        "layers__last_update_ratio": np.full((EPOCHS + 1, LAYERS), 1.2e-2),
    }
    found = diagnose(history(**run | changed)).verdict
    assert found == verdict if verdict else found != "learning_rate_too_high"


def test_spikes_of_a_network_that_knows_its_images_by_heart_are_not_the_rate() -> None:
    train = np.append(np.where(STEPS[:-1] == 6, 1.2, BY_HEART[:-1]), 0.002)
    val = np.where(STEPS == 6, 1.4, np.full(EPOCHS, 0.5))
    assert Measures(history(train=train, val=val)).roughness.value > 0.1
    assert diagnose(history(train=train, val=val, train_wrong=0.0)).verdict == "overfitting"


# --- the network ------------------------------------------------------------------------------------


def test_a_penalty_is_judged_by_its_usual_share_not_by_that_of_one_epoch() -> None:
    shares = np.append(np.full(EPOCHS, 0.02), 0.5)
    found = Measures(history(penalty_gradient_share=shares)).penalty_share
    assert found.value == pytest.approx(0.02) and found.epochs == (1, EPOCHS)


TIME = 14
CUT = np.append(np.zeros(TIME - 1), 0.9)


@pytest.mark.parametrize(
    ("norms", "share", "verdict"),
    [
        (CUT, (TIME - 1) / TIME, "dead_units"),
        (np.geomspace(1e-12, 1.0, TIME), 0.0, "vanishing_gradients"),
        (np.append(0.0, np.geomspace(1e-38, 1.0, TIME - 1)), 0.0, "vanishing_gradients"),
    ],
    ids=["cut off", "fading", "faded to zero in 32 bits"],
)
def test_a_gradient_that_is_cut_off_at_once_is_no_vanishing_one(
    norms: np.ndarray, share: float, verdict: str
) -> None:
    still = FAULTS["dead_units"] | {
        "units__dead": np.zeros((EPOCHS + 1, LAYERS - 1)),
        "time_step__gradient_norm": np.tile(norms, (EPOCHS + 1, 1)),
    }
    run = history(**still)
    assert Measures(run).cut_steps == pytest.approx(share)
    assert diagnose(run).verdict == verdict


# --- the second guess -------------------------------------------------------------------------------


def test_verdicts_are_ranked_as_they_would_be_given_one_after_the_other() -> None:
    """Without the cause its strongest consequence would be named; a healthy run's second is its nearest rule."""
    still = {"train": np.full(EPOCHS, 2.3), "val": np.full(EPOCHS, 2.3), "train_wrong": 0.9, "val_wrong": 0.9}
    found = diagnose(history(**FAULTS["dead_units"] | still))
    assert found.ranked[:2] == ("dead_units", "not_learning")
    assert len(set(found.ranked)) == len(found.ranked)

    fine = diagnose(history())
    nearest = max(fine.ruled_out, key=lambda f: f.probability)
    assert fine.ranked[:2] == ("healthy", nearest.verdict)


def test_where_nothing_else_stands_the_second_guess_is_healthy() -> None:
    found = diagnose(history(**FAULTS["overfitting"]))
    assert not found.follow and not found.open and found.findings[1:] == ()
    assert found.ranked[:2] == ("overfitting", "healthy")
