"""The fault over regularized: a planted history beside a healthy twin."""

from __future__ import annotations

from dataclasses import replace
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


@pytest.mark.parametrize(("epochs", "blamed"), [(1, False), (2, True)])
def test_the_first_epoch_begins_with_untrained_weights(epochs: int, blamed: bool) -> None:
    """So the mean over its steps is far above the loss at its end without any regularization."""
    found = history(train=np.full(epochs, 0.5), val=np.full(epochs, 0.5))
    high = {**found.curves, "train/objective": np.full(epochs, 2.5)}
    ranked = diagnose(replace(found, curves=high)).ranked
    assert ("over_regularized" in ranked[:1]) == blamed
