"""The scores of each class."""

from __future__ import annotations

from drawn import EVALUATION
from pipeline.reporting import per_class


def test_the_weakest_class_stands_on_top() -> None:
    labels = [label.get_text() for label in per_class.plot(EVALUATION).axes[0].get_yticklabels()]
    weakest = min(EVALUATION.per_class, key=lambda scores: scores.f1.value)
    assert labels[-1] == f"{weakest.name}  (n = {weakest.support})"
