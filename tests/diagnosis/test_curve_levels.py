"""The levels that curves show, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.diagnosis.curve_levels import (
    error_rate_at,
    generalization_gap,
    initial_loss_ratio,
    memorization_ratio,
)
from planted_history import EPOCHS, N, losses_around
from planted_run import BY_HEART, curves_alone, number, run

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


def test_a_spike_at_the_end_does_not_undo_what_was_known_by_heart() -> None:
    train = np.append(BY_HEART[:-1], 0.04)
    found = number(memorization_ratio(curves_alone(train=train, val=np.full(EPOCHS, 0.3))))
    assert found.value == pytest.approx(BY_HEART[-2] / 0.3)
    assert found.epochs == (EPOCHS - 1, EPOCHS)
