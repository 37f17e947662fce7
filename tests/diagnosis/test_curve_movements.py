"""How curves move, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pipeline
from pipeline.diagnosis.curve_movements import (
    loss_transfer,
    train_loss_roughness,
    val_loss_fall,
    val_loss_rise,
)
from planted_history import N
from planted_run import BY_HEART, STEPS, curves_alone, number, run


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
