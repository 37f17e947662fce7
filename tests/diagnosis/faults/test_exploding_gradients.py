"""The fault exploding gradients: a planted history beside a healthy twin."""

from __future__ import annotations

from typing import Any

from pipeline.diagnosis import diagnose
from planted_history import FAULTS, history

PLANTED = FAULTS["exploding_gradients"]
HEALTHY_TWIN: dict[str, Any] = {}  # a sane loss before the first step


def test_the_planted_fault_is_found() -> None:
    found = diagnose(history(**PLANTED))
    assert found.verdict == "exploding_gradients"
    assert found.confidence > 0.8
    assert found.ranked[0] == "exploding_gradients"


def test_its_healthy_twin_is_not_blamed() -> None:
    """With a sane loss before the first step."""
    assert diagnose(history(**HEALTHY_TWIN)).verdict != "exploding_gradients"
