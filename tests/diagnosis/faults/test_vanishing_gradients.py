"""The fault vanishing gradients: a planted history beside a healthy twin."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.diagnosis import diagnose
from planted_history import EPOCHS, FAULTS, LAYERS, history

PLANTED = FAULTS["vanishing_gradients"]
HEALTHY_TWIN = PLANTED | {"layers__gradient_norm": np.full((EPOCHS + 1, LAYERS), 0.1)}


def test_the_planted_fault_is_found() -> None:
    found = diagnose(history(**PLANTED))
    assert found.verdict == "vanishing_gradients"
    assert found.confidence > 0.8
    assert found.ranked[0] == "vanishing_gradients"


def test_its_healthy_twin_is_not_blamed() -> None:
    """With gradients of one size in all layers."""
    assert diagnose(history(**HEALTHY_TWIN)).verdict != "vanishing_gradients"


@pytest.mark.parametrize(
    "norms",
    [np.geomspace(1e-12, 1.0, 14), np.append(0.0, np.geomspace(1e-38, 1.0, 13))],
    ids=["fading", "faded to zero in 32 bits"],
)
def test_a_gradient_may_also_fade_from_time_step_to_time_step(norms: np.ndarray) -> None:
    signals = HEALTHY_TWIN | {"time_step__gradient_norm": np.tile(norms, (EPOCHS + 1, 1))}
    assert diagnose(history(**signals)).verdict == "vanishing_gradients"
