"""The fault learning rate too high: a planted history beside a healthy twin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import compose
from pipeline.diagnosis import diagnose
from planted_history import EPOCHS, FAULTS, LAYERS, history

ROOT = Path(__file__).parents[3]
PLANTED = FAULTS["learning_rate_too_high"]
HEALTHY_TWIN = PLANTED | {"train": None, "val": None}


def test_the_planted_fault_is_found() -> None:
    found = diagnose(history(**PLANTED))
    assert found.verdict == "learning_rate_too_high"
    assert found.confidence > 0.8
    assert found.ranked[0] == "learning_rate_too_high"


def test_its_healthy_twin_is_not_blamed() -> None:
    """With the curves of a healthy run."""
    assert diagnose(history(**HEALTHY_TWIN)).verdict != "learning_rate_too_high"


STEPS = np.arange(EPOCHS)
RIPPLES = np.where(STEPS % 2, 0.40, 0.43)
LARGE_STEPS = {
    "train": RIPPLES,
    "val": RIPPLES + 0.05,
    "layers__last_update_ratio": np.full((EPOCHS + 1, LAYERS), 1.2e-2),
}


def test_ripples_count_where_the_steps_are_large() -> None:
    assert diagnose(history(**LARGE_STEPS)).verdict == "learning_rate_too_high"


@pytest.mark.parametrize(
    "changed",
    [
        {"layers__last_update_ratio": np.full((EPOCHS + 1, LAYERS), 3e-3)},
        {"train": np.linspace(0.43, 0.4, EPOCHS)},
    ],
    ids=["usual steps", "a smooth loss"],
)
def test_neither_ripples_nor_large_steps_count_alone(changed: dict[str, Any]) -> None:
    assert diagnose(history(**LARGE_STEPS | changed)).verdict != "learning_rate_too_high"


def test_spikes_of_a_network_that_knows_its_images_by_heart_are_not_the_rate() -> None:
    by_heart = 1.2 * np.exp(-0.6 * STEPS[:-1])
    train = np.append(np.where(STEPS[:-1] == 6, 1.2, by_heart), 0.002)
    val = np.where(STEPS == 6, 1.4, 0.5)
    assert diagnose(history(train=train, val=val, train_wrong=0.0)).verdict == "overfitting"


def first_remedy(*overrides: str, **arrays: Any) -> str:
    _, values = compose(overrides, root=ROOT)
    found = diagnose(history(**PLANTED, settings=values, **arrays))
    return found.findings[0].remedies[0].name


@pytest.mark.parametrize(
    ("growth", "first"), [(2.0, "learning_rate/10"), (10.0, "learning_rate/30")]
)
def test_a_rate_that_blew_up_the_weights_is_lowered_further(growth: float, first: str) -> None:
    norms = np.full((EPOCHS + 1, LAYERS), 10.0 * growth)
    norms[0] = 10.0
    assert first_remedy("optimizer.learning_rate=0.09", layers__weight_norm=norms) == first


@pytest.mark.parametrize(
    ("rate", "first"), [(9.9, "learning_rate/10"), (10.1, "usual_learning_rate")]
)
def test_a_rate_far_above_the_usual_one_is_replaced_by_it(rate: float, first: str) -> None:
    assert first_remedy("optimizer=sgd", f"optimizer.learning_rate={rate}") == first
