"""The farther a run lies from the runs that the rules were judged on, the lower the confidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.diagnosis import diagnose
from pipeline.diagnosis.calibration import widened
from planted_history import FAULTS, history


def known(**numbers: int | None) -> object:
    whole = history()
    return replace(whole, context=replace(whole.context, **numbers))  # type: ignore[arg-type]


def test_a_run_like_those_that_were_judged_keeps_its_confidence() -> None:
    assert widened(0.91, known(num_classes=10, num_val=1000, num_train=4000)) == (0.91, ())


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"num_classes": 3}, "3 classes"),
        ({"num_classes": 100}, "100 classes"),
        ({"num_val": 100}, "100 validation images"),
        ({"num_train": 120}, "120 training images"),
    ],
)
def test_a_run_of_another_kind_is_judged_with_less_confidence(
    numbers: dict[str, int], words: str
) -> None:
    confidence, (note,) = widened(0.91, known(**numbers))
    assert 0.5 < confidence < 0.85
    assert words in note


def test_ten_times_beyond_the_range_takes_half_of_the_certainty() -> None:
    confidence, _ = widened(1.0, known(num_classes=120))
    assert confidence == pytest.approx(0.5 + 0.5 * np.exp(-0.7))


def test_a_run_no_better_than_a_cheap_baseline_is_not_healthy() -> None:
    """The better baseline of the planted histories has 0.25 nats."""
    train, val = np.full(12, 0.24), np.full(12, 0.27)
    found = diagnose(history(train=train, val=val))
    assert found.verdict == "undetermined"
    assert "cheap baseline" in found.reason
    assert "healthy" not in found.ranked
    assert diagnose(history(train=0.7 * train, val=0.7 * val)).verdict == "healthy"


def test_the_diagnosis_says_so() -> None:
    whole = history(**FAULTS["overfitting"])
    far = replace(whole, context=replace(whole.context, num_classes=3))
    near, found = diagnose(whole), diagnose(far)
    assert found.verdict == near.verdict
    assert found.confidence < near.confidence
    assert "3 classes" in found.notes[0]
