"""Numbers that curves show: losses in nats, their changes and their noise.

Where the signals hold the loss of each example, a number's standard error comes from these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress

import numpy as np

from pipeline.diagnosis.measured import Measured, measurement
from pipeline.diagnosis.measured_run import MeasuredRun, Missing
from pipeline.diagnosis.record import SHARE, Part
from pipeline.diagnosis.trend import expected_luck, theil_sen

PART_WORDS = {"train": "training", "val": "validation"}
# A difference of two shares of wrong answers says little over fewer examples.
LARGEST_LOG = 700.0  # whose exponential is a number
_SOME_LOSS = "a validation loss above 0"
FAR_ABOVE_GUESSING = 2.0  # times the loss of guessing
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
            error = _error_of_mean(losses)
    except Missing:
        error = _relative_noise(curve) * value
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
    """
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
    value, error = float(losses.mean()) / guessing, _error_of_mean(losses) / guessing
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


# --- how a curve moves ----------------------------------------------------------------------------


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
    return Measured(float(difference.mean()) / level, _error_of_mean(difference) / level, span)


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
    noise, best = _relative_noise(run.val_loss), float(run.val_loss[run.best])
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


# --- noise ----------------------------------------------------------------------------------------


def _error_of_mean(values: np.ndarray) -> float:
    return float(values.std() / math.sqrt(len(values)))


def _relative_noise(curve: np.ndarray) -> float:
    """Relative noise of a curve's points, from second differences of its logarithm.

    A smooth curve has none, because the logarithm of a loss falls nearly straight. Over the later
    half (8 points at least); 0 for less than four points.
    """
    positive = curve[np.isfinite(curve) & (curve > 0)]
    if len(positive) < 4:
        return 0.0
    later = positive[-max(8, math.ceil(len(positive) / 2)) :]
    second = np.diff(np.log(later), n=2)
    return float(1.4826 * np.median(np.abs(second)) / math.sqrt(6))
