"""The fault undertrained: a planted history beside a healthy twin."""

from __future__ import annotations

from pipeline.diagnosis import diagnose
from planted_history import FAULTS, history

PLANTED = FAULTS["undertrained"]
HEALTHY_TWIN = PLANTED | {"train": None, "val": None}


def test_the_planted_fault_is_found() -> None:
    found = diagnose(history(**PLANTED))
    assert found.verdict == "undertrained"
    assert found.confidence > 0.8
    assert found.ranked[0] == "undertrained"


def test_its_healthy_twin_is_not_blamed() -> None:
    """With the curves of a healthy run."""
    assert diagnose(history(**HEALTHY_TWIN)).verdict != "undertrained"
