"""How a trial ended: read from what its job returned or raised."""

from __future__ import annotations

import contextlib
import io
import logging
import math
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import TrialState

from pipeline import interruption
from pipeline.disk import FULL, READ_ONLY, explained
from pipeline.errors import DiskError, SweepError
from pipeline.sweep.trial import RunningTrial

log = logging.getLogger(__name__)

OUTCOMES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


@dataclass(frozen=True)
class Result:
    """How a trial ended: with values, pruned, or with the reason of its failure."""

    values: tuple[float, ...] = ()
    pruned: bool = False
    failure: str | None = None

    @property
    def state(self) -> TrialState:
        """The state of the trial in Optuna."""
        if self.failure:
            return TrialState.FAIL
        return TrialState.PRUNED if self.pruned else TrialState.COMPLETE


def result_of(job: Any, current: RunningTrial, *, count: int) -> Result:
    """Return the result of a job that has ended. count: of the study's directions.

    Raises `SweepError` where the disk is full or may not be written: that ends every trial, and
    this one has not failed.
    """
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # Hydra prints what the result holds
            returned = job.return_value
    except optuna.TrialPruned:
        return Result(pruned=True)
    except Exception as error:  # any exception of a task fails its trial, and no other trial
        if interruption.received() is not None:  # a library has made an error of the signal
            raise KeyboardInterrupt from error
        if isinstance(error, DiskError):
            raise SweepError(f"{error} The same command continues the sweep.") from error
        if isinstance(error, OSError) and error.errno in (*FULL, *READ_ONLY):
            raise SweepError(explained(error)) from error
        log.error("trial %d failed", current.number, exc_info=error)  # into the trial's own log
        first_line = next(iter(str(error).splitlines()), "")
        return Result(failure=f"{type(error).__name__}: {first_line}")
    return Result(pruned=True) if current.pruned else _checked(returned, count)


def _checked(returned: Any, count: int) -> Result:
    values = list(returned) if isinstance(returned, list | tuple) else [returned]
    if len(values) != count:
        given = f"the task returned {len(values)} numbers"
        return Result(failure=f"{given}, the study has {count} directions")
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        return Result(failure=f"the task returned {returned!r}, which is no number")
    if not all(map(math.isfinite, numbers)):
        return Result(failure=f"the task returned {returned!r}, which is not finite")
    return Result(numbers)
