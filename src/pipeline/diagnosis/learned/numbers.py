"""Scale-free numbers of a curve's shape: falls in logarithms, gaps as ratios, noise, accuracies.

A loss that is shifted or measured in other units gives nearly the same numbers. Each number is NaN
where the curves do not give it. The points of a curve are counted, not its epochs or steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.diagnosis.learned.by_rule import rule_probabilities
from pipeline.diagnosis.learned.lost import is_lost
from pipeline.diagnosis.learned.perfect import TINY, learned_at_start

LARGEST = 25.0  # natural logarithm; a larger ratio counts as infinite
NAN = float("nan")
LARGEST_TREND = 60  # points between which slopes are taken


@dataclass(frozen=True)
class Curves:
    """The curves of one training, ``[E]`` float64 each, or None.

    NaN where a point has no number; infinite where the training lost a loss.
    """

    train_loss: np.ndarray | None = None
    val_loss: np.ndarray | None = None
    train_accuracy: np.ndarray | None = None
    val_accuracy: np.ndarray | None = None
    learning_rate: np.ndarray | None = None
    num_classes: int | None = None

    @cached_property
    def losses(self) -> dict[str, np.ndarray]:
        """The losses by part, lifted above zero where one is negative."""
        given = {"train": self.train_loss, "val": self.val_loss}
        there = {
            part: np.asarray(y, dtype=np.float64) for part, y in given.items() if y is not None
        }
        finite = np.concatenate([y[np.isfinite(y)] for y in there.values()] or [np.zeros(0)])
        if len(finite) and finite.min() < 0:
            lift = 0.05 * float(np.ptp(finite)) - float(finite.min())
            there = {part: y + lift for part, y in there.items()}
        return there

    @property
    def accuracies(self) -> dict[str, np.ndarray]:
        """The accuracies by part, as shares."""
        given = {"train": self.train_accuracy, "val": self.val_accuracy}
        return {part: np.asarray(y, np.float64) for part, y in given.items() if y is not None}


def numbers(curves: Curves) -> dict[str, float]:
    """Return every number by its name; those of `NAMES`, in their order."""
    found = dict.fromkeys(NAMES, NAN)
    logs = {part: _logarithm(y) for part, y in curves.losses.items()}
    usable = {part: y for part, y in logs.items() if np.isfinite(y).any()}
    found["points"] = math.log(max((len(y) for y in logs.values()), default=1))
    found["lost"] = float(is_lost(curves.losses))
    found["perfect"] = float(learned_at_start(curves.losses, curves.accuracies))
    for part, y in usable.items():
        found |= {f"{part}_{name}": value for name, value in _of_loss(y).items()}
    if {"train", "val"} <= usable.keys():
        found |= _train_against_val(usable["train"], usable["val"])
    accuracies = {p: y for p, y in curves.accuracies.items() if np.isfinite(y).any()}
    for part, accuracy in accuracies.items():
        found |= {f"{part}_{k}": v for k, v in _of_accuracy(accuracy, usable.get(part)).items()}
    if len(accuracies) == 2:
        found |= _accuracy_gaps(accuracies, usable.get("val"))
    found |= _against_guessing(curves, usable, accuracies)
    found |= rule_probabilities(curves)
    if curves.learning_rate is not None and np.isfinite(curves.learning_rate).any():
        rate = np.maximum(curves.learning_rate[np.isfinite(curves.learning_rate)], 1e-12)
        found["learning_rate"] = math.log10(float(rate.max()))
        found["rate_fall"] = math.log10(float(rate.max() / rate[-1]))
    return {name: _clipped(found[name]) for name in NAMES}


# --- one loss -------------------------------------------------------------------------------------


def _logarithm(loss: np.ndarray) -> np.ndarray:
    """Logarithm of a loss; NaN where there is no number or the loss was lost."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.isfinite(loss), np.log(np.maximum(loss, TINY)), NAN)


def _of_loss(y: np.ndarray) -> dict[str, float]:
    """Numbers of the logarithm of one loss."""
    y = y[np.isfinite(y)]
    first, end, lowest = float(y[0]), level_at_end(y), float(_smoothed(y).min())
    steps = np.diff(y)
    found = {
        "fall": first - lowest,
        "end_fall": first - end,
        "rise": end - lowest,
        "peak": float(y.max()) - first,
        "best_at": float(np.argmin(_smoothed(y))) / max(len(y) - 1, 1),
        "after_best": math.log1p(len(y) - 1 - int(np.argmin(_smoothed(y)))),
        "half_fall_at": _half_fall(y, first, lowest),
        "first_share": _share_of_fall(y, 0, 1),
        "late_share": _share_of_fall(y, len(y) // 2, len(y) - 1),
    }
    if len(y) >= 3:
        late = y[-max(3, math.ceil(len(y) / 3)) :]
        slope = _slope(late)
        found["late_fall"] = -slope * (len(late) - 1)
        found["fall_a_point"] = -slope
        found["noise"] = _noise(y)
        found["roughness"] = float(np.maximum(steps[1:], 0).mean())
        found["jump"] = float(steps.max())
        found["turns"] = float(np.mean(np.sign(steps[1:]) != np.sign(steps[:-1])))
        found["late_fall_in_noise"] = found["late_fall"] / (found["noise"] + 0.01)
        found["rise_in_noise"] = found["rise"] / (found["noise"] + 0.01)
    return found


def level_at_end(y: np.ndarray) -> float:
    """Median of the last tenth of the points, one to five of them."""
    return float(np.median(y[-min(5, max(1, len(y) // 10)) :]))


def _smoothed(y: np.ndarray) -> np.ndarray:
    """Running median of three points, from five points on; the ends stay."""
    if len(y) < 5:
        return y
    return np.concatenate([y[:1], np.median([y[:-2], y[1:-1], y[2:]], axis=0), y[-1:]])


def _half_fall(y: np.ndarray, first: float, lowest: float) -> float:
    if first - lowest < 1e-9:
        return 0.0
    return float(np.argmax(y <= (first + lowest) / 2)) / max(len(y) - 1, 1)


def _share_of_fall(y: np.ndarray, start: int, stop: int) -> float:
    """Which share of the whole fall lies between two points; negative where the loss rises."""
    whole = float(y[0] - y.min())
    if len(y) < 3 or whole < 0.01:
        return NAN
    return float(y[start] - y[stop]) / whole


def _noise(y: np.ndarray) -> float:
    """Standard deviation of a point around the line between its neighbours, robustly."""
    return float(np.median(np.abs(np.diff(y, 2)))) / 0.6745 / math.sqrt(6)


def _slope(y: np.ndarray) -> float:
    """Theil-Sen slope a point: the median of the slopes between all pairs."""
    x = np.arange(len(y), dtype=np.float64)
    if len(y) > LARGEST_TREND:
        pick = np.linspace(0, len(y) - 1, LARGEST_TREND).round().astype(int)
        x, y = x[pick], y[pick]
    i, j = np.triu_indices(len(y), 1)
    return float(np.median((y[j] - y[i]) / (x[j] - x[i])))


# --- training against validation ------------------------------------------------------------------


def _train_against_val(train: np.ndarray, val: np.ndarray) -> dict[str, float]:
    both = np.isfinite(train) & np.isfinite(val)
    if not both.any():
        return {}
    t, v = train[both], val[both]
    gap = v - t
    best = int(np.argmin(_smoothed(v)))
    found = {
        "gap": level_at_end(gap),
        "gap_at_best": float(gap[best]),
        "gap_at_first": float(gap[0]),
        "gap_growth": level_at_end(gap) - float(gap[len(gap) // 2]),
        "val_fall_over_train_fall": (v[0] - v.min()) - (t[0] - t.min()),
        "val_below_train": float(np.mean(v < t)),
    }
    since_t, since_v = float(t[best]) - level_at_end(t), level_at_end(v) - float(v[best])
    found["train_fall_since_best"] = since_t
    found["parted"] = min(since_t, since_v)
    found["rose_together"] = min(level_at_end(t) - float(t.min()), level_at_end(v) - float(v.min()))
    found["moved"] = max(float(np.ptp(t)), float(np.ptp(v)))
    if len(t) >= 3:
        late = -max(3, math.ceil(len(t) / 3))
        falls = [-_slope(y[late:]) * (-late - 1) for y in (t, v)]
        found["fall_together"] = min(falls)
        found["gap_or_fall"] = max(falls[0], found["gap"])
    if len(t) >= 4:
        half = len(t) // 2
        late_t, late_v = _slope(t[half - 1 :]), _slope(v[half - 1 :])
        found["late_parting"] = (late_v - late_t) * (len(t) - half)
        found["gap_in_noise"] = found["gap"] / (_noise(v) + 0.02)
        found["noise_over_noise"] = math.log((_noise(v) + 0.003) / (_noise(t) + 0.003))
    if len(t) >= 6:
        found["joint_moves"] = _correlation(np.diff(t, 2), np.diff(v, 2))
    return found


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Rank-free correlation of two series, 0 where one does not move."""
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / scale if scale > 1e-12 else 0.0


# --- accuracies -----------------------------------------------------------------------------------


def _of_accuracy(accuracy: np.ndarray, loss: np.ndarray | None) -> dict[str, float]:
    """Numbers of one accuracy. loss: logarithm of the same part's loss."""
    a = accuracy[np.isfinite(accuracy)]
    end, best = level_at_end(a), float(a.max())
    found = {
        "accuracy": end,
        "error": math.log(max(1 - end, 0.002)),
        "accuracy_gain": best - float(a[0]),
        "accuracy_lost": best - end,
        "accuracy_range": float(np.ptp(a)),
        "error_fall": math.log(max(1 - float(a[0]), 0.002)) - math.log(max(1 - best, 0.002)),
        "accuracy_still": float(np.mean(np.abs(np.diff(a)) < 1e-4)) if len(a) > 1 else NAN,
        "accuracy_noise": _noise(a) if len(a) > 2 else NAN,
    }
    if loss is not None and np.isfinite(loss).any():
        y = loss[np.isfinite(loss)]
        found["nats"] = level_at_end(y)
        found["overconfidence"] = level_at_end(y) - _surprise(end)
        found["first_surprise"] = float(y[0]) - _surprise(float(a[0]))
    return found


def _surprise(accuracy: float) -> float:
    """Logarithm of the loss of somebody who knows how often he is right, and no more."""
    return math.log(-math.log(min(max(accuracy, 0.005), 0.999)) + 0.01)


def _accuracy_gaps(
    accuracies: Mapping[str, np.ndarray], val: np.ndarray | None
) -> dict[str, float]:
    t, v = accuracies["train"], accuracies["val"]
    both = np.isfinite(t) & np.isfinite(v)
    if not both.any():
        return {}
    t, v = t[both], v[both]
    best = int(np.argmax(v))
    if val is not None and np.isfinite(val[both]).any():
        best = int(np.nanargmin(val[both]))
    return {
        "accuracy_gap": level_at_end(t) - level_at_end(v),
        "accuracy_gap_at_best": float(t[best] - v[best]),
        "accuracy_gap_at_first": float(t[0] - v[0]),
    }


def _against_guessing(
    curves: Curves, logs: Mapping[str, np.ndarray], accuracies: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Losses and accuracy against guessing, where the number of classes is known."""
    if curves.num_classes is None or curves.num_classes < 2:
        return {}
    guess, found = math.log(math.log(curves.num_classes)), {}
    for part, y in logs.items():
        found[f"{part}_over_guessing"] = float(np.nanmin(y)) - guess
    if "val" in accuracies:
        best = float(np.nanmax(accuracies["val"]))
        found["accuracy_over_guessing"] = (best - 1 / curves.num_classes) / (
            1 - 1 / curves.num_classes
        )
    return found


def _clipped(value: float) -> float:
    return value if math.isnan(value) else float(min(max(value, -LARGEST), LARGEST))


_OF_LOSS = (
    *("fall", "end_fall", "rise", "peak", "best_at", "after_best", "half_fall_at", "late_fall"),
    *("fall_a_point", "noise", "roughness", "jump", "turns", "late_fall_in_noise", "rise_in_noise"),
    *("first_share", "late_share"),
)
_OF_ACCURACY = (
    *("accuracy", "error", "accuracy_gain", "accuracy_lost", "accuracy_range", "error_fall"),
    *("accuracy_still", "nats", "overconfidence", "accuracy_noise", "first_surprise"),
)
NAMES: tuple[str, ...] = (
    *("points", "lost"),
    *(f"{part}_{name}" for part in ("train", "val") for name in (*_OF_LOSS, *_OF_ACCURACY)),
    *("gap", "gap_at_best", "gap_at_first", "gap_growth", "val_fall_over_train_fall"),
    *("late_parting", "gap_in_noise", "val_below_train", "noise_over_noise", "joint_moves"),
    *("train_fall_since_best", "parted", "rose_together", "moved", "fall_together", "gap_or_fall"),
    *("accuracy_gap", "accuracy_gap_at_best", "accuracy_gap_at_first"),
    *("train_over_guessing", "val_over_guessing", "accuracy_over_guessing", "learning_rate"),
    *("rate_fall", "overfitting_rule", "undertrained_rule", "perfect"),
)
