"""From logits and labels to metrics with intervals: plain numpy arrays in, frozen records out."""

from __future__ import annotations

from pipeline.evaluation.measure import evaluate, flatten
from pipeline.evaluation.mistakes import worst_mistakes
from pipeline.evaluation.results import CalibrationBin, ClassScores, Evaluation
from pipeline.evaluation.scores import top_class

__all__ = [
    "CalibrationBin",
    "ClassScores",
    "Evaluation",
    "evaluate",
    "flatten",
    "top_class",
    "worst_mistakes",
]
