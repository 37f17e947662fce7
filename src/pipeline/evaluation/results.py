"""What an evaluation found: frozen records, every estimate with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.records import Estimate


@dataclass(frozen=True)
class ClassScores:
    """One class against the rest; each number is a share, 0 … 1, with its Wilson interval.

    support: how many examples are of this class.  A share of nothing (a class that is never
    predicted has no precision, one that never occurs no recall) is 0 with the interval 0 … 1, n = 0.
    """

    name: str
    support: int
    precision: Estimate
    recall: Estimate
    f1: Estimate


@dataclass(frozen=True)
class CalibrationBin:
    """The examples whose confidence lies in ``(low, high]``: how sure the model was, how often right.

    mean_confidence, accuracy: shares, 0 … 1.  count: at least 1, empty bins are left out.
    """

    low: float
    high: float
    count: int
    mean_confidence: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How a classifier did on ``num_examples`` labelled examples.

    accuracy, *_macro, calibration_error: 0 … 1.  cross_entropy: mean, nats.  brier: mean over the
    examples of the squared distance between probabilities and the one-hot label, 0 … 2.
    confusion: ``[K, K]`` int64, row = true class, column = predicted class.
    """

    class_names: tuple[str, ...]
    num_examples: int
    accuracy: Estimate
    precision_macro: Estimate
    recall_macro: Estimate
    f1_macro: Estimate
    cross_entropy: Estimate
    brier: Estimate
    calibration_error: Estimate
    per_class: tuple[ClassScores, ...]
    confusion: np.ndarray
    calibration_bins: tuple[CalibrationBin, ...]
