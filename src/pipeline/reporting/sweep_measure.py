"""The loss that a sweep's report draws, and the validation curve of each numeric setting."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pipeline.evaluation.validation_curve import ValidationCurve, as_number, validation_curve
from pipeline.sweep.analysis import FinishedTrial, StudyRecord

SIZE = "data.fraction"
# Settings without a validation curve: the size has a section of its own, a seed is luck.
NO_CURVE = (SIZE, "seed")


@dataclass(frozen=True)
class Measure:
    """The loss that the curves show. name: of the axis.  metric: its key without ``val/``."""

    name: str
    metric: str

    @classmethod
    def of(cls, record: StudyRecord) -> Measure:
        """Return the first objective on validation data; accuracy is shown as error."""
        metrics = [o.removeprefix("val/") for o in record.objectives if o.startswith("val/")]
        metric = metrics[0] if metrics else "loss"
        return cls("error" if metric == "accuracy" else metric.replace("_", " "), metric)

    def of_trial(self, trial: FinishedTrial) -> tuple[float, float]:
        """Return (training, validation), lower is better; NaN where a trial has no such metric."""
        train, val = (
            trial.metrics.get(f"{split}/{self.metric}", math.nan) for split in ("train", "val")
        )
        return (1 - train, 1 - val) if self.metric == "accuracy" else (train, val)

    def finite(self, trials: list[FinishedTrial]) -> list[tuple[FinishedTrial, float, float]]:
        """Return (trial, training, validation) of the trials whose numbers are both finite."""
        measured = [(trial, *self.of_trial(trial)) for trial in trials]
        return [row for row in measured if math.isfinite(row[1]) and math.isfinite(row[2])]


def validation_curves(record: StudyRecord, measure: Measure) -> dict[str, ValidationCurve]:
    """Return the validation curve of every numeric setting that has one."""
    curves = {}
    for key in record.keys:
        trials = [t for t in record.complete if key in t.params]
        numeric = trials and all(is_number(t.params[key]) for t in trials)
        if key in NO_CURVE or not numeric:
            continue
        values = [as_number(t.params[key]) for t in trials]
        train, val = zip(*map(measure.of_trial, trials), strict=True)
        curve = validation_curve(values, train, val)
        if curve:
            curves[key] = curve
    return curves


def is_number(value: Any) -> bool:
    """Return whether a setting's value has a place on an axis: a number, or null."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
