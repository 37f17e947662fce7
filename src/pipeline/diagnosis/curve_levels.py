"""Levels that curves show: a loss or a share of wrong answers at one epoch, and what it is over.

Losses are in nats. Where the signals hold the loss of each example, a number's standard error comes
from these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress

import numpy as np

from pipeline.diagnosis.curve_noise import error_of_mean, relative_noise
from pipeline.diagnosis.measured import Measured, measurement
from pipeline.diagnosis.measured_run import MeasuredRun, Missing
from pipeline.diagnosis.record import SHARE, Part

PART_WORDS = {"train": "training", "val": "validation"}
FAR_ABOVE_GUESSING = 2.0  # times the loss of guessing
# A difference of two shares of wrong answers says little over fewer examples.
LEAST_EXAMPLES = 100

# --- one epoch ------------------------------------------------------------------------------------


def loss_at(run: MeasuredRun, part: Part, index: int) -> Measured:
    """Return the mean loss of a part at an epoch.

    Its standard error is over examples where their losses are known, else the curve's noise.
    """
    curve = run.train_loss if part == "train" else run.val_loss
    value, error = float(curve[index]), 0.0
    try:
        losses = run.signal(f"{part}/loss_per_example")[run.row(index)].astype(np.float64)
        if np.all(np.isfinite(losses)):
            error = error_of_mean(losses)
    except Missing:
        error = relative_noise(curve) * value
    return Measured(value, error, run.span(index, index))


def error_rate_at(run: MeasuredRun, part: Part, index: int) -> Measured:
    """Return the share of wrong answers at an epoch, with its binomial standard error.

    Where the number of examples is not known, the error is 0. It is that of Agresti and Coull,
    Approximate Is Better than "Exact", 1998, so that no wrong answer at all has an error too.
    """
    try:
        correct = run.signal(f"{part}/correct")[run.row(index)]
        share, n = 1 - float(correct.mean()), len(correct)
    except Missing:
        share = 1 - float(run.curve(f"{part}/accuracy")[index])
        n = (run.history.context.num_val or 0) if part == "val" else 0
    smooth = (share * n + 2) / (n + 4)
    error = math.sqrt(smooth * (1 - smooth) / n) if n else 0.0
    return Measured(share, error, run.span(index, index))


@measurement("loss, relative to the better baseline", unit="×", log=True)
def loss_to_baseline_ratio(run: MeasuredRun, part: Part) -> Measured:
    """Last training loss, or the kept epoch's validation loss, over `baseline_loss`."""
    return _loss_ratio(run, part, run.baseline_loss, "the better baseline")


@measurement("loss, relative to guessing", unit="×", log=True)
def loss_to_guessing_ratio(run: MeasuredRun, part: Part) -> Measured:
    """As `loss_to_baseline_ratio`, over the loss of guessing."""
    return _loss_ratio(run, part, run.guessing_loss, "guessing")


@measurement("loss that is not finite", log=True)
def infinite_loss(run: MeasuredRun, part: Part) -> Measured:
    """Infinity where the loss of a part is not finite. Raises `Missing` where it is."""
    loss = _judged_loss(run, part)
    if math.isfinite(loss.value):
        raise Missing("a loss that is not finite")
    return Measured(math.inf, epochs=loss.epochs, words=f"{PART_WORDS[part]} loss")


def _loss_ratio(run: MeasuredRun, part: Part, other: float, name: str) -> Measured:
    loss = _judged_loss(run, part)
    error = loss.error / max(loss.value, 1e-12)
    words = f"{PART_WORDS[part]} loss, relative to {name}"
    return Measured(loss.value / other, error, loss.epochs, words=words)


def _judged_loss(run: MeasuredRun, part: Part) -> Measured:
    """The last training loss, or the kept epoch's validation loss."""
    return loss_at(run, part, run.last if part == "train" else run.kept)


@measurement("lowest validation loss, relative to guessing", unit="×")
def best_loss_to_guessing_ratio(run: MeasuredRun) -> Measured:
    """Validation loss of the best epoch over the loss of guessing."""
    loss, guessing = loss_at(run, "val", run.best), run.guessing_loss
    return Measured(loss.value / guessing, loss.error / guessing, loss.epochs)


@measurement("share of wrong validation answers, relative to guessing", unit="×")
def error_rate_to_guessing_ratio(run: MeasuredRun) -> Measured:
    """Share of wrong validation answers at the best epoch over that of guessing, 1 - 1/K."""
    num_classes = run.history.context.num_classes
    if num_classes is None:
        raise Missing("the number of classes (num_classes=…)")
    wrong, guessing = error_rate_at(run, "val", run.best), 1 - 1 / num_classes
    return Measured(wrong.value / guessing, wrong.error / guessing, wrong.epochs)


@measurement(
    "share of wrong answers on training images minus that on validation images", unit=SHARE
)
def excess_train_error_rate(run: MeasuredRun) -> Measured:
    """Training error rate minus validation error rate, at the best epoch.

    Both in evaluation mode: dropout and augmentation make training answers wrong that are right.
    """
    num_val = run.signal("val/correct").shape[1]
    if num_val < LEAST_EXAMPLES or run.signal("train/correct").shape[1] < LEAST_EXAMPLES:
        raise Missing(f"{LEAST_EXAMPLES} examples of each part")
    train, val = error_rate_at(run, "train", run.best), error_rate_at(run, "val", run.best)
    error = (train.error**2 + val.error**2) ** 0.5
    return Measured(train.value - val.value, error, train.epochs)


@measurement("training loss with regularization, relative to without", unit="×", log=True)
def regularization_ratio(run: MeasuredRun) -> Measured:
    """The objective that was minimized over the plain loss, at the last epoch.

    Raises `Missing` where the steps are to blame for the objective: it was lost, or it is far above
    guessing although there is no penalty. Dropout and augmentation alone lead to guessing at worst.
    The first epoch says nothing either: the mean over its steps holds those of untrained weights.
    """
    if run.num_epochs == 1:
        raise Missing("2 epochs")
    objective, loss = (run.curve(f"train/{name}")[run.last] for name in ("objective", "loss"))
    if not math.isfinite(objective):
        raise Missing("a training loss that was never lost")
    if _without_penalty(run) and objective > FAR_ABOVE_GUESSING * run.guessing_loss:
        raise Missing("a training loss without jumps")
    with np.errstate(divide="ignore", invalid="ignore"):  # a loss of exactly 0
        value = float(np.float64(objective) / loss)
    return Measured(value, epochs=run.span(run.last, run.last))


def _without_penalty(run: MeasuredRun) -> bool:
    """Whether the settings are known and have no penalty."""
    penalty = run.history.context.settings.get("penalty")
    return isinstance(penalty, Mapping) and not (penalty.get("l1") or penalty.get("l2"))


@measurement("validation loss, relative to its start or to guessing", unit="×", log=True)
def divergence_ratio(run: MeasuredRun) -> Measured:
    """Last validation loss over the larger of guessing and its start; infinite where it was lost.

    Where no loss was ever finite, only a finite start shows that the steps are to blame.
    """
    finite = np.isfinite(run.val_loss) & np.isfinite(run.train_loss)
    if not np.any(finite) and not _start_is_known(run):
        raise Missing("a single finite loss")
    last = float(run.val_loss[run.last])
    start = run.guessing_loss
    with suppress(Missing):
        start = max(start, float(run.before_training("val/loss_per_example").mean()))
    value = last / start if math.isfinite(last) else math.inf
    return Measured(value, epochs=run.span(run.last, run.last))


def _start_is_known(run: MeasuredRun) -> bool:
    return isinstance(initial_loss_ratio(run), Measured)


@measurement("loss before the first step, relative to guessing", unit="×", log=True)
def initial_loss_ratio(run: MeasuredRun) -> Measured:
    """Training loss before the first step over the loss of guessing."""
    losses, guessing = run.before_training("train/loss_per_example"), run.guessing_loss
    value, error = float(losses.mean()) / guessing, error_of_mean(losses) / guessing
    return Measured(value, error / max(value, 1e-12))


# --- training against validation ------------------------------------------------------------------


@measurement(
    "share of the validation loss that is missing on training images (generalization gap)",
    unit=SHARE,
)
def generalization_gap(run: MeasuredRun) -> Measured:
    """1 - training loss / validation loss, at the kept epoch."""
    train, val = loss_at(run, "train", run.kept), _finite_val_loss(run)
    return Measured(1 - train.value / val.value, _error_of_ratio(train, val), val.epochs)


@measurement("lowest training loss, relative to the validation loss", unit="×", log=True)
def memorization_ratio(run: MeasuredRun) -> Measured:
    """Lowest training loss so far over the validation loss, at the kept epoch.

    The lowest one, because a spike at the end does not undo what was learned by heart.
    """
    so_far = run.train_loss[: run.kept + 1]
    lowest = int(np.argmin(np.where(np.isfinite(so_far), so_far, np.inf)))
    train, val = loss_at(run, "train", lowest), _finite_val_loss(run)
    value = train.value / val.value
    error = _error_of_ratio(train, val) / max(value, 1e-12)
    return Measured(value, error, run.span(lowest, run.kept))


def _finite_val_loss(run: MeasuredRun) -> Measured:
    """The kept epoch's validation loss. Raises `Missing` where it is not a positive number."""
    val = loss_at(run, "val", run.kept)
    if not (val.value > 0 and math.isfinite(val.value)):
        raise Missing("a finite validation loss")
    return val


def _error_of_ratio(train: Measured, val: Measured) -> float:
    """Standard error of training loss / validation loss, by the delta method."""
    return math.hypot(train.error, val.error * train.value / val.value) / val.value
