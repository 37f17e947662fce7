"""The plan of a run's probes, from its records alone: neither weights nor images are read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.diagnosis import History
from pipeline.diagnosis.probes.plan import ProbePlan, plan
from pipeline.records import EpochRecord


def planned(
    history: History, rows: Sequence[EpochRecord], *, epochs: int | None = None
) -> ProbePlan | None:
    """Return the plan of a trained run's probes; None where the run cannot have any.

    A network that trains itself has none, nor a run whose settings or data are not known.
    rows: of the run, with their times.  epochs: see `plan`.
    """
    context = history.context
    if context.trains_itself or not context.settings or not context.num_train:
        return None
    data = context.settings["data"]
    return plan(
        num_train=max(1, round(data["fraction"] * context.num_train)),
        epochs_done=len(rows),
        images_per_s=median_speed(rows),
        epochs=epochs,
        widened=has_width(context.settings["model"]),
    )


def median_speed(rows: Sequence[EpochRecord]) -> float:
    """Return the images per second of the run's epochs; NaN where an epoch has no speed."""
    return float(np.median([row.metrics.get("time/images_per_s", math.nan) for row in rows]))


def has_width(model: Mapping[str, Any]) -> bool:
    """Whether a network's settings have a number of units that can be doubled."""
    return isinstance(model.get("width"), int)
