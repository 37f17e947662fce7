"""The numbers that curves show, against closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import pipeline
from pipeline.diagnosis import Context, History
from pipeline.diagnosis.curve_measures import (
    error_rate_at,
    generalization_gap,
    initial_loss_ratio,
    loss_transfer,
    memorization_ratio,
    train_loss_roughness,
    val_loss_fall,
    val_loss_rise,
)
from pipeline.diagnosis.measured import Measured, Unmeasured
from pipeline.diagnosis.measured_run import MeasuredRun
from planted_history import EPOCHS, N, history, losses_around

STEPS = np.arange(EPOCHS)
BY_HEART = 1.2 * np.exp(-0.6 * STEPS)  # to 0.0016 in the last epoch


def run(**options: Any) -> MeasuredRun:
    return MeasuredRun(history(**options))


def curves_alone(*, train: np.ndarray, val: np.ndarray) -> MeasuredRun:
    """A run of which nothing but two curves is known."""
    curves = {"train/loss": np.asarray(train), "val/loss": np.asarray(val)}
    return MeasuredRun(History(np.arange(len(train)), curves, context=Context(num_classes=10)))


def number(found: Measured | Unmeasured) -> Measured:
    assert isinstance(found, Measured)
    return found


# --- one epoch ------------------------------------------------------------------------------------


def test_the_error_of_a_wrong_share_is_binomial() -> None:
    found = error_rate_at(run(val_wrong=0.06), "val", 3)
    p = (60 + 2) / (N + 4)  # Agresti and Coull
    assert found.value == pytest.approx(0.06)
    assert found.error == pytest.approx(math.sqrt(p * (1 - p) / N))


def test_the_initial_loss_is_compared_with_the_entropy_of_the_classes() -> None:
    start = losses_around(np.append(4.6, np.ones(EPOCHS)), seed=0)
    found = number(initial_loss_ratio(run(train__loss_per_example=start)))
    assert found.value == pytest.approx(4.6 / math.log(10), rel=1e-5)


# --- training against validation ------------------------------------------------------------------


def test_the_gap_is_the_share_that_training_images_do_not_have() -> None:
    found = number(generalization_gap(run(train=np.full(EPOCHS, 0.05), val=np.full(EPOCHS, 0.20))))
    train = losses_around(np.array([0.05]), seed=0)[0]
    val = losses_around(np.array([0.20]), seed=1)[0]
    by_delta = np.hypot(train.std(), val.std() * 0.25) / math.sqrt(N) / 0.20
    assert found.value == pytest.approx(0.75)
    assert found.error == pytest.approx(by_delta, rel=1e-4)


def test_the_transfer_is_the_exponent_of_a_power_law() -> None:
    found = number(loss_transfer(curves_alone(train=BY_HEART, val=0.9 * BY_HEART**0.3)))
    assert found.value == pytest.approx(0.3)
    assert found.error == pytest.approx(0, abs=1e-6)


def test_only_the_last_sixteenfold_fall_counts_for_the_transfer() -> None:
    """Validation falls alike down to 16 times the last training loss, and stands from there on."""
    edge = 16 * np.median(BY_HEART[-3:])
    val = np.maximum(BY_HEART, BY_HEART[edge < BY_HEART].min())
    found = number(loss_transfer(curves_alone(train=BY_HEART, val=val)))
    assert found.value == pytest.approx(0, abs=1e-9)


def test_a_spike_at_the_end_does_not_undo_what_was_known_by_heart() -> None:
    train = np.append(BY_HEART[:-1], 0.04)
    found = number(memorization_ratio(curves_alone(train=train, val=np.full(EPOCHS, 0.3))))
    assert found.value == pytest.approx(BY_HEART[-2] / 0.3)
    assert found.epochs == (EPOCHS - 1, EPOCHS)


# --- how a curve moves ----------------------------------------------------------------------------


def test_the_fall_is_the_rate_of_an_exponential() -> None:
    found = number(val_loss_fall(run(val=2.0 * np.exp(-0.1 * STEPS))))
    assert found.value == pytest.approx(1 - math.exp(-0.1), rel=1e-6)
    assert found.error == pytest.approx(0, abs=1e-6)
    assert found.epochs == (9, 12)


def test_a_true_rise_is_measured_with_its_size() -> None:
    found = number(val_loss_rise(run(val=np.append(np.full(6, 0.25), np.full(6, 0.30)))))
    assert found.value == pytest.approx(0.2, rel=1e-5)
    assert found.epochs == (1, 12)


def test_a_rise_is_measured_on_the_half_that_did_not_choose_the_best_epoch() -> None:
    """Noise around one level: the luckiest epoch looks better only on the half that chose it."""
    noise = np.random.default_rng(0).gamma(1.0, 0.3, size=(31, N)).astype(np.float32)
    val = noise[1:].mean(1).astype(np.float64)
    examples = {"val__loss_per_example": noise, "train__loss_per_example": noise}
    found = number(val_loss_rise(run(train=np.full(30, 0.3), val=val, **examples)))
    assert abs(found.value) < 3 * found.error
    assert (val[-1] - val.min()) / val.min() > 0  # the rise without this care


def test_the_luckiest_epoch_of_a_noisy_curve_is_no_rise() -> None:
    """Twenty curves that only shake: without this care, the mean rise would be 10 %."""
    generator = np.random.default_rng(0)
    naive, measured = [], []
    for _ in range(20):
        val = 0.3 * np.exp(0.07 * generator.normal(size=16))
        rise = number(val_loss_rise(curves_alone(train=np.full(16, 0.1), val=val)))
        naive.append(val[-1] / val.min() - 1)
        measured.append(rise.value)
    assert np.mean(naive) > 0.1
    assert abs(np.mean(measured)) < 0.04


@pytest.mark.parametrize("lucky_end", [False, True])
def test_the_rise_of_a_long_curve_is_its_trend(lucky_end: bool) -> None:
    val = np.append(0.3, 0.3 * np.exp(0.02 * np.arange(1, 16)))
    if lucky_end:
        val[-1] = 0.31
    found = number(val_loss_rise(curves_alone(train=np.full(16, 0.1), val=val)))
    assert found.value == pytest.approx(np.exp(0.02 * 15) - 1, rel=0.02)


def test_ripples_near_zero_are_not_roughness() -> None:
    ripples = np.where(STEPS % 2, 1e-3, 2e-3)
    assert number(train_loss_roughness(run(train=ripples))).value < 0.01
    assert number(train_loss_roughness(run(train=1000 * ripples))).value > 0.4


@pytest.mark.parametrize(
    "losses",
    [[0.0] * 4, [1.0, 0.0, 0.5, 0.0], [0.0, 1e-300, 1e300, 0.0], [1e-300, *[1e300] * 11]],
    ids=str,
)
def test_losses_of_nothing_and_of_any_size_are_judged(losses: list[float]) -> None:
    """A quotient by 0, or a power beyond the largest number, is no answer."""
    found = pipeline.diagnose({"loss": losses, "val_loss": losses}, num_classes=10)
    assert found.verdict
