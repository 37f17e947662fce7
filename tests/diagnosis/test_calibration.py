"""The farther a run lies from the runs that the rules were judged on, the lower the confidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.diagnosis import Diagnosis, diagnose
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


def beside(*, times: float) -> Diagnosis:
    """A run without a fault whose losses are so many times those of the planted healthy one."""
    train, val = np.full(12, 0.168 * times), np.full(12, 0.189 * times)
    return diagnose(history(train=train, val=val))


def test_a_run_that_loses_to_all_cheap_baselines_is_not_healthy() -> None:
    """They have 0.25 and 0.40 nats."""
    found = beside(times=0.42 / 0.189)
    assert found.verdict == "undetermined"
    assert "logistic regression and" in found.reason
    assert "healthy" not in found.ranked


def test_a_run_that_loses_to_the_better_baseline_is_healthy_with_a_note() -> None:
    found = beside(times=0.27 / 0.189)
    assert found.verdict == "healthy"
    assert "1.08 times that of random features" in found.notes[0]


def test_a_run_better_than_the_baselines_needs_no_note() -> None:
    found = beside(times=1.0)
    assert (found.verdict, found.notes) == ("healthy", ())


def test_the_diagnosis_says_so() -> None:
    whole = history(**FAULTS["overfitting"])
    far = replace(whole, context=replace(whole.context, num_classes=3))
    near, found = diagnose(whole), diagnose(far)
    assert found.verdict == near.verdict
    assert found.confidence < near.confidence
    assert "3 classes" in found.notes[0]
