"""What is worth a try where no verdict could be given."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from pipeline.diagnosis.fault import Fault
from pipeline.diagnosis.measured_run import MeasuredRun, Missing
from pipeline.diagnosis.record import Finding, Remedy
from pipeline.diagnosis.remedies import (
    CHECKS,
    MORE_EPOCHS,
    SHORT_EPOCHS,
    Settings,
    more_epochs,
    works_on_own_module,
)

LEAST_FALL = 0.03  # of the validation loss over the last quarter of the run
MOST_OPEN = 2  # faults that give a remedy each
LEAST_EPOCHS = 3  # of a loss that falls by less, but in each of them


def worth_trying(run: MeasuredRun) -> tuple[Remedy, ...]:
    """Return the remedy that needs no verdict: more epochs.

    They are offered where the loss was still falling, or where the run is too short for a fault.
    Empty where the settings are not known, or where something else than their epochs ended the run.
    """
    settings = run.history.context.settings
    if not settings or run.num_epochs < settings["trainer"]["max_epochs"]:
        return ()
    longer = more_epochs(settings, times=4)
    if still_falling(run):
        return (longer,)
    if run.num_epochs >= SHORT_EPOCHS:
        return ()
    return (replace(longer, why="a run this short cannot be judged"),)


def of_open_faults(
    undecided: Sequence[Fault],
    judged: Mapping[str, Finding],
    settings: Settings,
    *,
    trains_itself: bool,
) -> tuple[Remedy, ...]:
    """Return the first remedy of each of the likeliest undecided faults, `MOST_OPEN` at most.

    A remedy that helps over paired seeds tells which fault it was.
    """
    found = []
    for fault in undecided[:MOST_OPEN] if settings else ():
        offered = fault.remedies(settings, judged[fault.verdict])
        kept = (r for r in offered if not trains_itself or works_on_own_module(r))
        remedy = next((r for r in kept if r.name not in CHECKS), None)
        if remedy and remedy.name != MORE_EPOCHS:  # those are the business of `worth_trying`
            why = f"{remedy.why} (if it is {fault.verdict.replace('_', ' ')})"
            found.append(replace(remedy, why=why))
    return tuple(found)


def without_repetition(remedies: Sequence[Remedy]) -> tuple[Remedy, ...]:
    """Return remedies, of each name the first."""
    return tuple({remedy.name: remedy for remedy in reversed(remedies)}.values())[::-1]


def still_falling(run: MeasuredRun) -> bool:
    """Whether the validation loss fell by `LEAST_FALL` over the last quarter, to its lowest value.

    It is also falling where each of three epochs or more was lower than the one before. A quarter
    is one epoch at least. The loss before the first step counts as epoch 0, where it was measured.
    False where a loss is missing or not finite.
    """
    try:
        losses = run.val_loss
    except Missing:
        return False
    with suppress(Missing):
        losses = np.append(run.before_training("val/loss_per_example").mean(), losses)
    back = max(1, math.ceil(run.num_epochs / 4))
    if len(losses) <= back or not np.all(np.isfinite(losses)):
        return False
    if len(losses) > LEAST_EPOCHS and np.all(np.diff(losses) < 0):
        return True
    lowest_is_late = int(np.argmin(losses)) >= len(losses) - back
    return lowest_is_late and bool(losses[-1] <= (1 - LEAST_FALL) * losses[-1 - back])
