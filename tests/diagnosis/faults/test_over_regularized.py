"""The fault over regularized: a planted history beside a healthy twin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.config import compose
from pipeline.diagnosis import diagnose
from planted_history import EPOCHS, FAULTS, history

ROOT = Path(__file__).parents[3]
PLANTED = FAULTS["over_regularized"]
HEALTHY_TWIN = PLANTED | {"penalty_gradient_share": np.zeros(EPOCHS + 1)}


def test_the_planted_fault_is_found() -> None:
    found = diagnose(history(**PLANTED))
    assert found.verdict == "over_regularized"
    assert found.confidence > 0.8
    assert found.ranked[0] == "over_regularized"


def test_its_healthy_twin_is_not_blamed() -> None:
    """Without any penalty."""
    assert diagnose(history(**HEALTHY_TWIN)).verdict != "over_regularized"


@pytest.mark.parametrize(("dropout", "verdict"), [(0.9, "over_regularized"), (0.5, "underfitting")])
def test_a_strong_dropout_counts_too(dropout: float, verdict: str) -> None:
    _, values = compose([f"model.dropout={dropout}"], root=ROOT)
    strong = {"train": np.full(EPOCHS, 1.1), "val": np.full(EPOCHS, 1.12)}
    found = diagnose(history(**HEALTHY_TWIN | strong, settings=values))
    assert found.verdict == verdict
