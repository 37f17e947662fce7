"""The fault not learning: a planted history beside a healthy twin."""

from __future__ import annotations

import numpy as np

from pipeline.diagnosis import diagnose
from planted_history import EPOCHS, FAULTS, history

PLANTED = FAULTS["not_learning"]
HEALTHY_TWIN = PLANTED | {
    "val_wrong": 0.5,
    "val": np.full(EPOCHS, 2.0),
    "train": np.full(EPOCHS, 1.99),
}


def test_the_planted_fault_is_found() -> None:
    found = diagnose(history(**PLANTED))
    assert found.verdict == "not_learning"
    assert found.confidence > 0.8
    assert found.ranked[0] == "not_learning"


def test_its_healthy_twin_is_not_blamed() -> None:
    """With answers that are better than guessing."""
    assert diagnose(history(**HEALTHY_TWIN)).verdict != "not_learning"


def test_training_images_known_by_heart_show_that_it_learns() -> None:
    by_heart = PLANTED | {"train": np.linspace(2.3, 0.05, EPOCHS)}
    assert diagnose(history(**by_heart)).verdict != "not_learning"
