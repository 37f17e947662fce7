"""The fault overfitting: a planted history beside a healthy twin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.config import compose
from pipeline.diagnosis import Context, History, diagnose
from pipeline.diagnosis.readers import read_log
from planted_history import EPOCHS, FAULTS, history

ROOT = Path(__file__).parents[3]
KERAS = Path(__file__).parents[2] / "fixtures" / "keras" / "tutorial_cnn.csv"
PLANTED = FAULTS["overfitting"]
HEALTHY_TWIN = PLANTED | {"train": None, "val": None}


def test_the_planted_fault_is_found() -> None:
    found = diagnose(history(**PLANTED))
    assert found.verdict == "overfitting"
    assert found.confidence > 0.8
    assert found.ranked[0] == "overfitting"


def test_its_healthy_twin_is_not_blamed() -> None:
    """With the curves of a healthy run."""
    assert diagnose(history(**HEALTHY_TWIN)).verdict != "overfitting"


STEPS = np.arange(EPOCHS)
LEARNED_BY_HEART = 1.2 * np.exp(-0.6 * STEPS)  # to 0.0016 in the last epoch


@pytest.mark.parametrize(
    ("val", "verdict"),
    [(np.full(EPOCHS, 0.3), "overfitting"), (0.6 * LEARNED_BY_HEART**0.4, "healthy")],
    ids=["validation stands still", "validation improves too"],
)
def test_learning_by_heart_is_a_fault_only_where_validation_gains_nothing(
    val: np.ndarray, verdict: str
) -> None:
    assert diagnose(history(train=LEARNED_BY_HEART, val=val, train_wrong=0.0)).verdict == verdict


def test_the_weights_of_the_best_epoch_are_not_blamed_for_later_ones() -> None:
    val = np.append(np.full(6, 0.24), np.linspace(0.25, 0.4, 6))
    run = {"train": np.full(EPOCHS, 0.12), "val": val, "train_wrong": 0.02}
    assert diagnose(history(**run)).verdict == "overfitting"
    assert diagnose(history(**run, kept_epoch=5)).verdict == "healthy"


def test_a_run_that_stopped_at_its_best_may_know_more_by_heart() -> None:
    """4 % of the validation loss: a fault at the end, none where training stopped at its best."""
    train = np.maximum(LEARNED_BY_HEART, 0.0096)
    val = np.append(np.full(EPOCHS - 2, 0.24), [0.2392, 0.24])
    run = {"train": train, "val": val, "train_wrong": 0.0}
    assert diagnose(history(**run)).verdict == "overfitting"
    assert diagnose(history(**run, kept_epoch=EPOCHS - 2)).verdict == "healthy"


def test_curves_alone_show_it() -> None:
    whole = history(**PLANTED)
    names = ("train/loss", "val/loss", "train/accuracy", "val/accuracy", "learning_rate")
    curves = {name: whole.curves[name] for name in names}
    found = diagnose(History(whole.epochs, curves, context=Context(num_classes=10)))
    assert (found.verdict, found.family) == ("overfitting", "fits_and_fails")


def test_the_training_that_keras_logged_overfits() -> None:
    found = diagnose(read_log(KERAS, num_classes=10).history)
    assert found.verdict == "overfitting"
    assert found.family_confidence > 0.6


def test_regularization_in_force_is_not_offered_again() -> None:
    _, values = compose(
        ["model.dropout=0.5", "augment=affine", "penalty=elastic_net", "trainer.keep=best"],
        root=ROOT,
    )
    names = {r.name for r in diagnose(history(**PLANTED, settings=values)).findings[0].remedies}
    assert not names & {"more_data", "dropout", "augment", "l2", "l1", "early_stopping"}
    assert "smaller_model" in names
