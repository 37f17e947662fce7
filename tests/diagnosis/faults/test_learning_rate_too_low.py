"""The fault learning rate too low: a planted history beside a healthy twin."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.config import compose
from pipeline.diagnosis import diagnose
from planted_history import EPOCHS, FAULTS, LAYERS, history

ROOT = Path(__file__).parents[3]
PLANTED = FAULTS["learning_rate_too_low"]
HEALTHY_TWIN = PLANTED | {"layers__last_update_ratio": np.full((EPOCHS + 1, LAYERS), 3e-3)}


def test_the_planted_fault_is_found() -> None:
    found = diagnose(history(**PLANTED))
    assert found.verdict == "learning_rate_too_low"
    assert found.confidence > 0.8
    assert found.ranked[0] == "learning_rate_too_low"


def test_its_healthy_twin_is_not_blamed() -> None:
    """With steps of the usual size."""
    assert diagnose(history(**HEALTHY_TWIN)).verdict != "learning_rate_too_low"


def test_the_rate_is_raised_by_the_factor_that_its_steps_lack() -> None:
    """Steps of 3e-5 of the weights, a hundredth of the usual: the rate goes up a hundredfold."""
    _, values = compose(["optimizer.learning_rate=1e-5"], root=ROOT)
    first = diagnose(history(**PLANTED, settings=values)).findings[0].remedies[0]
    assert first.overrides == ("optimizer.learning_rate=0.001",)
