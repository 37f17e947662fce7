"""The fault dead units: a planted history beside a healthy twin."""

from __future__ import annotations

import numpy as np

from pipeline.diagnosis import diagnose
from planted_history import EPOCHS, FAULTS, LAYERS, history

PLANTED = FAULTS["dead_units"]
HEALTHY_TWIN = PLANTED | {"units__dead": np.zeros((EPOCHS + 1, LAYERS - 1))}


def test_the_planted_fault_is_found() -> None:
    found = diagnose(history(**PLANTED))
    assert found.verdict == "dead_units"
    assert found.confidence > 0.8
    assert found.ranked[0] == "dead_units"


def test_its_healthy_twin_is_not_blamed() -> None:
    """With units that are all active."""
    assert diagnose(history(**HEALTHY_TWIN)).verdict != "dead_units"


def test_a_gradient_that_is_cut_off_at_once_is_a_sign_of_dead_units() -> None:
    cut = np.append(np.zeros(13), 0.9)
    signals = HEALTHY_TWIN | {"time_step__gradient_norm": np.tile(cut, (EPOCHS + 1, 1))}
    assert diagnose(history(**signals)).verdict == "dead_units"
