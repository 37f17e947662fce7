"""What was true of a case and of each of its runs.

**The fault**, of a case: does a remedy lower the test loss, over paired seeds?

A fault is there where a remedy lowers the test loss clearly, by 15 %, beyond noise: the 95 %
interval of the paired t distribution over the seeds lies above 0. A run that was meant to be
healthy is so where neither a longer training nor the weights of its best epoch lower it by 5 %; it
is overfitted where those of the best epoch lower it by 15 %. What lies between is left out: it is
neither healthy nor clearly sick. So is a high rate with which a run overfits as well.

**The family**, of a run: what happened, seen in its losses on 400 test examples and on 120 training
examples without dropout, which no log shows. The same fault looks different from run to run: a rate
too high may lose the loss, shake it, or leave it where it began.

* unstable: the loss was lost, or test and training loss both ended far above their best, or both
  rise again and again;
* fits_and_fails: the test loss ended far above its best while the training loss fell on; or the
  run fits its own training data, far better than new data, and a remedy against overfitting helps;
* stopped_too_early: the planted shortness, confirmed by a longer training;
* does_not_fit: the remedy lowers the training loss too, of the same seed, by 15 %;
* healthy: a case without a fault, and nothing of the above in this run.

A run of which two of these are true, or none clearly, is left out. A run whose test and training
loss never moved has not learned, whatever the fault: its curves cannot show another one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from cases import Case
from scipy import stats
from stacked import Settings, Trained, with_seed

MATERIAL, CLEAR, FAR_PAST = 0.05, 0.15, 0.2
LEAST_POINTS = 3
LEAST = 0.003  # nats: a smaller difference is none, however small the loss
LOST = 20.0  # the loss of a run that has none
# Mean rise a point of both losses, in logarithms: of a run that is shaken, of one that is calm.
SHAKEN, CALM = 0.06, 0.03
FALLING = 0.1  # fall of the test loss in the last third, in logarithms: it had not come to rest
FITS = 0.35  # the test loss above that of training, in logarithms
STILL = 0.03  # the largest move of a loss that did not move, in logarithms
SMALLEST = 1e-3  # nats: a training loss below is as good as zero


def label(case: Case, trained: Mapping[Settings, Trained], seeds: Sequence[int]) -> str | None:
    """Return what was true of a case; None where that is not known."""
    runs = [trained[with_seed(case.settings, seed)] for seed in seeds]
    now = np.array([loss(run, end_of(case, run)) for run in runs])
    stopped = np.array([loss(run, best(run, end_of(case, run))) for run in runs])
    if case.planted != "healthy":
        others = [_last(trained, remedy, seeds) for remedy in case.remedies]
        if case.planted == "overfitting":
            others.append(stopped)
        if case.planted == "learning_rate_too_high" and overfits_too(case, runs, now, stopped):
            return None
        return case.planted if any(gain(now, other) >= CLEAR for other in others) else None
    whole = np.array([loss(run, best(run)) for run in runs])  # beyond the end of the log too
    longer = [_last(trained, other, seeds) for other in case.remedies] or [whole]
    gains = {
        "overfitting": gain(now, stopped),
        "undertrained": max(gain(stopped, other) for other in longer),
    }
    if max(gains.values()) < MATERIAL:
        return "healthy"
    return "overfitting" if gains["overfitting"] >= CLEAR else None


def cut(case: Case, runs: Sequence[Trained]) -> int | None:
    """Return the first epoch at which a log can be cut so that it shows clear overfitting.

    Its weights are worse by 20 % than those of the best epoch so far. Only of runs at a constant
    rate, and None where there is no such epoch.
    """
    if case.planted not in ("healthy", "overfitting"):
        return None
    if case.settings.schedule not in ("constant", "warmup"):
        return None
    length = min(len(run.curves["val_loss"]) for run in runs)
    for epoch in range(LEAST_POINTS - 1, length):
        now = np.array([loss(run, epoch) for run in runs])
        so_far = np.array([loss(run, best(run, epoch)) for run in runs])
        if gain(now, so_far) >= FAR_PAST:
            return epoch
    return None


def overfits_too(case: Case, runs: Sequence[Trained], now: np.ndarray, stopped: np.ndarray) -> bool:
    """Whether the training loss fell on while that of validation rose, and stopping would help."""
    fell = [
        run.curves["train_loss"][end_of(case, run)]
        < run.curves["train_loss"][best(run, end_of(case, run))]
        for run in runs
    ]
    return gain(now, stopped) >= CLEAR and float(np.mean(fell)) > 0.5


def gain(now: np.ndarray, other: np.ndarray) -> float:
    """The mean relative fall of the loss; 0 where it is not beyond noise."""
    if (now - other).mean() < LEAST:
        return 0.0
    falls = np.log(now / other)
    spread = float(falls.std(ddof=1)) / math.sqrt(len(falls))
    if falls.mean() - stats.t.ppf(0.975, len(falls) - 1) * spread <= 0:
        return 0.0
    return float(1 - np.exp(-falls.mean()))


def end_of(case: Case, run: Trained) -> int:
    """Index of the last epoch that the log shows: with patience, as early stopping ends it."""
    losses, lowest = run.curves["val_loss"], 0
    for epoch, value in enumerate(losses):
        if value < losses[lowest]:
            lowest = epoch
        if case.patience and epoch - lowest >= case.patience:
            return epoch
    return len(losses) - 1


def best(run: Trained, end: int | None = None) -> int:
    """Index of the epoch with the lowest validation loss up to an end; else the end itself."""
    losses = run.curves["val_loss"][: None if end is None else end + 1]
    return int(np.nanargmin(losses)) if np.isfinite(losses).any() else len(losses) - 1


def loss(run: Trained, epoch: int) -> float:
    """The test loss after an epoch, at most `LOST`."""
    value = float(run.curves["test_loss"][epoch])
    return min(value, LOST) if math.isfinite(value) else LOST


def _last(
    trained: Mapping[Settings, Trained], settings: Settings, seeds: Sequence[int]
) -> np.ndarray:
    runs = [trained[with_seed(settings, seed)] for seed in seeds]
    return np.array([loss(run, len(run.curves["test_loss"]) - 1) for run in runs])


# --- the family of a run --------------------------------------------------------------------------


def family(
    case: Case, fault: str, run: Trained, length: int, trained: Mapping[Settings, Trained]
) -> str | None:
    """Return what happened in a run of a case up to a length; None where it is not clear."""
    last = length - 1
    if not math.isfinite(run.curves["test_loss"][last]) or loss(run, last) >= LOST:
        return "unstable" if fault != "healthy" else None
    shown = best(run, last)
    if loss(run, last) - loss(run, shown) >= LEAST and _fall(run, last, shown) >= _log(CLEAR):
        fell = _training_loss(run, last) < _training_loss(run, shown)
        if fault == "healthy":
            return None
        return "fits_and_fails" if fell else "unstable"
    shaken = _shaken(run, length)
    if shaken >= SHAKEN and fault != "healthy":
        return "unstable"
    if shaken >= CALM:
        return None
    if fault in ("healthy", "undertrained"):
        return {"healthy": "healthy", "undertrained": "stopped_too_early"}[fault]
    if _fall(run, max(0, last - max(1, length // 3)), last) >= FALLING:
        return None
    if fault == "overfitting":
        gap = math.log(max(loss(run, last), SMALLEST) / _training_loss(run, last))
        return "fits_and_fails" if gap >= FITS else None
    remedied = [trained[with_seed(remedy, run.settings.seed)] for remedy in case.remedies]
    lowest = min(remedied, key=lambda other: loss(other, len(other.curves["test_loss"]) - 1))
    reached = _training_loss(lowest, len(lowest.curves["eval_loss"]) - 1)
    reducible = math.log(_training_loss(run, last) / reached) >= _log(CLEAR)
    return "does_not_fit" if reducible else None


def fault_shown(fault: str, found: str, run: Trained, length: int) -> str:
    """Return the fault of a run of a family, or that it has not learned."""
    if found != "does_not_fit" or length < LEAST_POINTS:
        return fault
    moves = [np.ptp(np.log(run.curves[name][:length])) for name in ("test_loss", "train_loss")]
    return "not_learning" if max(moves) < STILL else fault


def _log(share: float) -> float:
    """The fall in logarithms of a loss that loses this share."""
    return -math.log(1 - share)


def _fall(run: Trained, start: int, stop: int) -> float:
    """The fall of the test loss from one epoch to another, in logarithms."""
    return math.log(max(loss(run, start), SMALLEST) / max(loss(run, stop), SMALLEST))


def _training_loss(run: Trained, epoch: int) -> float:
    value = float(run.curves["eval_loss"][epoch])
    return min(max(value, SMALLEST), LOST) if math.isfinite(value) else LOST


def _shaken(run: Trained, length: int) -> float:
    """How far training and test loss rise together from point to point, after the first third."""
    rises = []
    for name in ("eval_loss", "test_loss"):
        values = np.nan_to_num(run.curves[name][:length], nan=LOST, posinf=LOST)
        y = np.log(np.clip(values.astype(np.float64), 10 * SMALLEST, LOST))
        rises.append(np.maximum(np.diff(y)[length // 3 :], 0))
    return float(np.minimum(*rises).mean()) if len(rises[0]) else 0.0
