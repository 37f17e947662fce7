"""The results of an evaluation: frozen records, every estimate with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import RootModel

from pipeline.files import Number
from pipeline.records import Estimate

EVALUATED_ON = "evaluated_on.json"


class Metrics(RootModel[dict[str, Number]]):
    """Numbers by name; NaN where not measured. See `pipeline.evaluation.metrics_files`."""


@dataclass(frozen=True)
class EvaluatedOn:
    """The record ``evaluated_on.json``: the test part that the numbers of a model were measured on.

    data: name of the prepared data.  sha256: of the test part's content; empty where not known.
    num_images: 0 where not known.
    """

    data: str
    sha256: str = ""
    num_images: int = 0


@dataclass(frozen=True)
class ClassScores:
    """One class against the rest; each number is a share, 0 … 1, with its Wilson interval.

    support: number of examples of this class.  A class that is never predicted has no precision,
    and one that never occurs has no recall: such a share is 0 with the interval 0 … 1 and n = 0.
    """

    name: str
    support: int
    precision: Estimate
    recall: Estimate
    f1: Estimate


@dataclass(frozen=True)
class CalibrationBin:
    """The examples whose confidence lies in ``(low, high]``.

    mean_confidence, accuracy: shares, 0 … 1.  count: at least 1, empty bins are left out.
    """

    low: float
    high: float
    count: int
    mean_confidence: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The metrics of a classifier on ``num_examples`` labelled examples.

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
