"""A rate that is too high is not called regularization, whatever its jumps do to the objective."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.diagnosis import diagnose
from pipeline.diagnosis.history import History
from planted_history import history

COMPLETE: dict[str, Any] = {
    "data": {"fraction": 1.0, "label_noise": 0.0},
    "model": {"name": "mlp", "width": 32, "depth": 2, "dropout": 0.2},
    "augment": {"name": "none"},
    "penalty": {"l1": 0.0, "l2": 0.0},
    "optimizer": {"name": "sgd", "learning_rate": 14.0, "weight_decay": 0.0},
    "schedule": {"name": "constant"},
    "loss": {"name": "cross_entropy"},
    "trainer": {"keep": "last", "max_epochs": 12, "gradient_clip_norm": None},
}
PENALISED = {**COMPLETE, "penalty": {"l1": 0.0, "l2": 0.3}}


def jumping(objective: float, settings: dict[str, Any]) -> History:
    """Losses above guessing, and weights that grew; the mean objective of each epoch's steps."""
    found = history(
        train=np.full(12, 3.5),
        val=np.full(12, 3.6),
        train_wrong=0.9,
        val_wrong=0.9,
        settings=settings,
        layers__weight_norm=np.outer([1.0, *[50.0] * 12], np.ones(4)),
    )
    return replace(found, curves={**found.curves, "train/objective": np.full(12, objective)})


@pytest.mark.parametrize("objective", [1e9, np.inf, np.nan], ids=str)
def test_without_a_penalty_jumps_are_those_of_the_steps(objective: float) -> None:
    found = diagnose(jumping(objective, COMPLETE))
    assert found.verdict == "learning_rate_too_high"
    assert "over_regularized" not in [f.verdict for f in found.follow]


def test_a_penalty_that_makes_the_objective_large_is_regularization() -> None:
    assert diagnose(jumping(200.0, PENALISED)).verdict == "over_regularized"


def test_a_moderate_objective_may_be_that_of_dropout() -> None:
    """Guessing costs 2.3 nats: dropout may lead there, but hardly beyond."""
    calm = history(train=np.full(12, 0.6), val=np.full(12, 0.6), settings=COMPLETE)
    calm = replace(calm, curves={**calm.curves, "train/objective": np.full(12, 2.6)})
    assert diagnose(calm).verdict == "over_regularized"


@pytest.mark.parametrize("objective", [0.0, 0.1], ids=str)
def test_a_training_loss_of_exactly_nothing_is_judged(objective: float) -> None:
    known = history(train=np.zeros(12), settings=COMPLETE)
    known = replace(known, curves={**known.curves, "train/objective": np.full(12, objective)})
    assert diagnose(known).verdict != "over_regularized"
