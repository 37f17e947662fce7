"""Limits of a sweep: a trial whose metric exceeds one is no solution, whatever its objective."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import optuna
from optuna.trial import TrialState

from pipeline.errors import SpaceError
from pipeline.sweep.outcome import Result
from pipeline.sweep.trial import METRICS


def checked_constraints(given: Any) -> dict[str, float]:
    """Return metric → limit. Raises `SpaceError` for a limit that is no finite number."""
    limits = dict(given or {})
    for name, limit in limits.items():
        usable = isinstance(limit, int | float) and not isinstance(limit, bool)
        if not usable or not math.isfinite(limit):
            raise SpaceError(
                f"hydra.sweeper.constraints.{name}={limit}: must be a number, the largest that is "
                "allowed, for example hydra.sweeper.constraints={parameters: 50000}"
            )
    return {str(name): float(limit) for name, limit in limits.items()}


def excesses(limits: Mapping[str, float], attributes: Mapping[str, Any]) -> dict[str, float]:
    """Return by how much a trial exceeds each limit; above 0 is a violation.

    attributes: of the trial. A metric that it lacks, for example since it was pruned, has none.
    One that is no number exceeds every limit.
    """
    metrics = attributes.get(METRICS, {})
    found = {name: metrics[name] - limit for name, limit in limits.items() if name in metrics}
    return {name: math.inf if math.isnan(excess) else excess for name, excess in found.items()}


def is_feasible(trial: optuna.trial.FrozenTrial) -> bool:
    """Whether a finished trial keeps all limits of its study."""
    return all(excess <= 0 for excess in trial.constraints.values())


def checked_metrics(
    result: Result, limits: Mapping[str, float], attributes: Mapping[str, Any]
) -> Result:
    """Return the result of a trial, as a failure where it lacks a metric that has a limit.

    attributes: of the trial. A pruned trial need not have its metrics.
    """
    metrics = attributes.get(METRICS, {})
    missing = [name for name in limits if name not in metrics]
    if not missing or result.state != TrialState.COMPLETE:
        return result
    listed = ", ".join(metrics) or "none"
    return replace(
        result,
        values=(),
        failure=f"constraints.{missing[0]}: the task has no such metric. There is: {listed}.",
    )
