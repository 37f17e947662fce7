"""Movements that curves show: how a loss rises, falls and shakes from epoch to epoch."""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np

from pipeline.diagnosis.curve_noise import error_of_mean, expected_luck, relative_noise
from pipeline.diagnosis.measured import Measured, measurement
from pipeline.diagnosis.measured_run import MeasuredRun, Missing
from pipeline.diagnosis.record import SHARE, Part
from pipeline.diagnosis.trend import theil_sen

LARGEST_LOG = 700.0  # whose exponential is a number
_SOME_LOSS = "a validation loss above 0"


@measurement("rise of the validation loss since its best epoch", unit=SHARE)
def val_loss_rise(run: MeasuredRun) -> Measured:
    """Validation loss of the kept epoch over that of the best epoch, minus 1.

    The luckiest epoch must not look like a rise. So where the losses of examples are known, one
    half of them chooses the best epoch and the other half compares it, both ways round.
    """
    span = run.span(run.best, run.kept)
    try:
        rows = [run.row(index) for index in range(run.last + 1)]
        losses = run.signal("val/loss_per_example")[rows].astype(np.float64)
    except Missing:
        return _rise_of_curve(run)
    if not np.all(np.isfinite(losses[run.kept])):
        return _rise_of_curve(run)
    losses = np.where(np.isfinite(losses), losses, np.inf)
    half = np.arange(losses.shape[1]) % 2 == 0
    differences, levels = [], []
    for chosen, compared in ((half, ~half), (~half, half)):
        best = int(np.argmin(losses[:, chosen].mean(1)))
        differences.append(losses[run.kept, compared] - losses[best, compared])
        levels.append(losses[best, compared])
    difference, level = np.concatenate(differences), float(np.concatenate(levels).mean())
    if level == 0:
        raise Missing(_SOME_LOSS)
    return Measured(float(difference.mean()) / level, error_of_mean(difference) / level, span)


def _rise_of_curve(run: MeasuredRun) -> Measured:
    """The rise where the losses of examples are not known.

    With six epochs or more from the best to the kept one: the Theil-Sen slope of the logarithm
    over them, times their number. Else the difference, minus the expected luck of the best epoch.
    That is the luck of the lowest of n normal numbers, for n epochs within twice the noise.
    """
    span, between = run.span(run.best, run.kept), run.val_loss[run.best : run.kept + 1]
    if len(between) >= 6 and np.all(np.isfinite(between)) and between[0] > 0:
        steps = len(between) - 1
        slope, error = theil_sen(np.arange(len(between), dtype=np.float64), np.log(between))
        ratio = math.exp(min(slope * steps, LARGEST_LOG))
        return Measured(ratio - 1, error * steps * ratio, span)
    noise, best = relative_noise(run.val_loss), float(run.val_loss[run.best])
    if best == 0:
        raise Missing(_SOME_LOSS)
    best *= 1 + noise * expected_luck(int(np.sum(run.val_loss <= best * (1 + 2 * noise))))
    rise = float(run.val_loss[run.kept] - best) / best
    return Measured(rise, noise * math.sqrt(2), span)


@measurement("fall of the training loss per epoch", unit=SHARE)
def train_loss_fall(run: MeasuredRun) -> Measured:
    """Relative fall of the training loss per epoch at the end, see `_fall_per_epoch`."""
    return _fall_per_epoch(run, "train", run.train_loss)


@measurement("fall of the validation loss per epoch", unit=SHARE)
def val_loss_fall(run: MeasuredRun) -> Measured:
    """Relative fall of the validation loss per epoch at the end, see `_fall_per_epoch`."""
    return _fall_per_epoch(run, "val", run.val_loss)


def _fall_per_epoch(run: MeasuredRun, part: Part, curve: np.ndarray) -> Measured:
    """Relative fall of a loss per epoch, over the last quarter (four points at least).

    The Theil-Sen slope of the logarithm. The loss before the first step is the point of epoch 0,
    where it was measured.
    """
    x, y = run.history.epochs.astype(np.float64) + 1, curve
    with suppress(Missing):
        start = float(run.before_training(f"{part}/loss_per_example").mean())
        x, y = np.append(0.0, x), np.append(start, y)
    usable = np.isfinite(y) & (y > 0)
    x, y = x[usable], np.log(y[usable])
    count = max(4, math.ceil(len(x) / 4))
    x, y = x[-count:], y[-count:]
    if len(x) < 2:
        raise Missing("two epochs")
    span = (max(int(x[0]), 1), int(x[-1]))
    if len(x) == 2:
        return Measured(1 - math.exp(min(float(y[1] - y[0]), LARGEST_LOG)), 0.0, span)
    slope, error = theil_sen(x, y)
    return Measured(1 - math.exp(min(slope, LARGEST_LOG)), error, span)


@measurement("mean rise of the training loss from epoch to epoch", unit=SHARE, log=True)
def train_loss_roughness(run: MeasuredRun) -> Measured:
    """Mean rise of the training loss from one epoch to the next, relative to its level.

    A fall counts as 0. The first epoch is left out. Where baselines are known, the level is half of
    `baseline_loss` at least, because near 0 every ripple looks large.
    """
    losses = run.train_loss[np.isfinite(run.train_loss)]
    if len(losses) < 4:
        raise Missing("four epochs")
    losses = losses[1:]
    floor = 0.5 * run.baseline_loss if run.history.context.baselines else 0.0
    levels = np.maximum(np.minimum(losses[1:], losses[:-1]), floor)
    rises = np.maximum(np.diff(losses), 0) / levels
    return Measured(float(rises.mean()), epochs=run.span(1, run.last))


@measurement("how much of the fall of the training loss validation images show too", unit=SHARE)
def loss_transfer(run: MeasuredRun) -> Measured:
    """Slope of log validation loss on log training loss, up to the kept epoch.

    1: both fall alike; 0: validation stands still; below 0: it rises. The Theil-Sen slope over the
    epochs in which the training loss fell to a sixteenth (four epochs at least).
    """
    train, val = run.train_loss[: run.kept + 1], run.val_loss[: run.kept + 1]
    usable = np.flatnonzero(np.isfinite(train) & np.isfinite(val) & (train > 0) & (val > 0))
    if len(usable) < 4 or np.ptp(train[usable]) == 0:
        raise Missing("four epochs of a training loss that moves")
    far_above = np.flatnonzero(train[usable] > 16 * np.median(train[usable][-3:]))
    start = int(far_above[-1]) if len(far_above) else 0
    usable = usable[min(start, len(usable) - 4) :]
    slope, error = theil_sen(np.log(train[usable]), np.log(val[usable]))
    return Measured(slope, error, run.span(int(usable[0]), run.kept))
