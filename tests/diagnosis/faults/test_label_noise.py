"""The fault label noise: a planted history beside a healthy twin."""

from __future__ import annotations

import numpy as np

from pipeline.diagnosis import diagnose
from pipeline.diagnosis.verdict import by_rules
from planted_history import EPOCHS, FAULTS, history

PLANTED = FAULTS["label_noise"]
HEALTHY_TWIN = PLANTED | {"train_wrong": 0.06}


def test_the_planted_fault_is_found() -> None:
    found = diagnose(history(**PLANTED))
    assert found.verdict == "label_noise"
    assert found.confidence > 0.8
    assert found.ranked[0] == "label_noise"


def test_its_healthy_twin_is_not_blamed() -> None:
    """With as many wrong answers on training images as on validation images."""
    assert diagnose(history(**HEALTHY_TWIN)).verdict != "label_noise"


def test_eight_validation_images_are_too_few_to_blame_the_labels() -> None:
    few = PLANTED | {"val__correct": np.arange(8)[None] >= np.full((EPOCHS + 1, 1), 0)}
    found = diagnose(history(**few))
    assert "100 examples" in {n.verdict: n.missing for n in found.not_run}["label_noise"]


def test_training_accuracy_with_dropout_on_is_no_evidence() -> None:
    """Without signals the training accuracy is the mean over the epoch's own steps."""
    found = by_rules(history(**PLANTED, signals=False))
    assert "label_noise" in {n.verdict for n in found.not_run}
