"""A number of a curve's shape as a sentence that needs no glossary.

Each sentence states a fact with the numbers of the log itself. It holds whether the fact speaks for
a verdict or against it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from pipeline.diagnosis.learned.numbers import Curves
from pipeline.diagnosis.learned.sentences_of_both import NOTHING, OF_BOTH, share, times

PARTS = {"train": "training", "val": "validation"}


def in_words(name: str, found: Mapping[str, float], curves: Curves) -> str:
    """Return what a number says; empty where it says nothing worth reading.

    Numbers that help the model and tell a person little have no sentence.

    found: all numbers of the curves, as `numbers` returns them.
    """
    value = found[name]
    if math.isnan(value):
        return ""
    if name in _SAME:
        name, value = _SAME[name], found[_SAME[name]]
    part, _, rest = name.partition("_")
    if part in PARTS and rest in _OF_LOSS:
        loss = _Loss(PARTS[part], curves.losses[part], value)
        return _OF_LOSS[rest](loss) if loss.count > 1 else ""
    if part in PARTS and rest in _OF_ACCURACY:
        accuracy = curves.accuracies[part]
        return _OF_ACCURACY[rest](_Accuracy(PARTS[part], accuracy[np.isfinite(accuracy)], value))
    if name in OF_BOTH:
        return OF_BOTH[name](value)
    return ""


# Numbers for which the sentence of another number stands.
_SAME = {"gap_in_noise": "gap", "overfitting_rule": "parted", "undertrained_rule": "val_late_fall"}


class _Loss:
    """One loss with one of its numbers."""

    def __init__(self, part: str, loss: np.ndarray, value: float) -> None:
        self.name, self.value = f"The {part} loss", value
        self.loss = loss[np.isfinite(loss)]
        self.count = len(self.loss)
        self.lowest = int(np.argmin(self.loss)) + 1


class _Accuracy:
    """One accuracy with one of its numbers."""

    def __init__(self, part: str, accuracy: np.ndarray, value: float) -> None:
        self.name, self.values, self.value = f"The {part} accuracy", accuracy, value


def _fall(x: _Loss) -> str:
    low, first = f"{x.loss.min():.3g}", f"{x.loss[0]:.3g}"
    if low == first:
        return f"{x.name} never falls below its first value, {first}."
    fallen = share(1 - float(x.loss.min() / x.loss[0]))
    return f"{x.name} falls by {fallen}, from {first} to {low} at its lowest."


def _end_fall(x: _Loss) -> str:
    if abs(x.value) < NOTHING:
        return f"{x.name} ends where it began."
    if x.value < 0:
        return f"{x.name} ends {share(math.exp(-x.value) - 1)} above its first point."
    return f"{x.name} ends {share(1 - math.exp(-x.value))} below its first point."


def _rise(x: _Loss) -> str:
    rise = max(float(x.loss[-1] / max(x.loss.min(), 1e-9)) - 1, 0.0)
    place = f"point {x.lowest} of {x.count}"
    if rise < 0.005:
        return f"{x.name} ends at its lowest value."
    return f"{x.name} ends {share(rise)} above its lowest value ({place})."


def _peak(x: _Loss) -> str:
    if x.value < 0.05:
        return f"{x.name} never rises far above its first point."
    return f"The highest value of {x.name.lower()} is {times(x.value)} its first."


def _best_at(x: _Loss) -> str:
    return f"{x.name} is lowest at point {x.lowest} of {x.count}."


def _late_fall(x: _Loss) -> str:
    late = x.loss[-max(3, math.ceil(x.count / 3)) :]
    change = float(late[-1] / max(late[0], 1e-9)) - 1
    if abs(change) < 0.005:
        return f"{x.name} does not move over the last third."
    verb = "falls" if change < 0 else "rises"
    return f"{x.name} {verb} by {share(abs(change))} over the last third."


def _noise(x: _Loss) -> str:
    second = np.abs(np.diff(np.log(np.maximum(x.loss, 1e-9)), 2))
    noise = float(np.median(second)) / 0.6745 / math.sqrt(6)
    if noise < NOTHING:
        return f"{x.name} does not wobble."
    return f"{x.name} wobbles by about {share(noise)} from point to point."


def _jump(x: _Loss) -> str:
    if x.value <= 0.005:
        return f"{x.name} falls at every point."
    rise = share(math.expm1(min(x.value, 20)))
    return f"The largest rise of {x.name.lower()} between two points is {rise}."


def _late_share(x: _Loss) -> str:
    if x.value < NOTHING:
        verb = "rises" if x.value < -NOTHING else "falls no further"
        return f"{x.name} {verb} in the second half."
    return f"{x.name} does {share(x.value)} of its fall in the second half."


_OF_LOSS: Mapping[str, Callable[[_Loss], str]] = {
    "fall": _fall,
    "end_fall": _end_fall,
    "rise": _rise,
    "rise_in_noise": _rise,
    "peak": _peak,
    "best_at": _best_at,
    "after_best": _best_at,
    "late_fall": _late_fall,
    "fall_a_point": _late_fall,
    "late_fall_in_noise": _late_fall,
    "noise": _noise,
    "jump": _jump,
    "late_share": _late_share,
}


def _ends_at(x: _Accuracy) -> str:
    return f"{x.name} ends at {share(x.values[-1])}."


def _gain(x: _Accuracy) -> str:
    first, best = share(x.values[0]), share(x.values.max())
    if first == best:
        return f"{x.name} never rises above its first value, {first}."
    return f"{x.name} rises from {first} to {best} at its best."


def _range(x: _Accuracy) -> str:
    lowest, best = share(x.values.min()), share(x.values.max())
    if lowest == best:
        return f"{x.name} stays at {best}."
    return f"{x.name} lies between {lowest} and {best}."


def _lost(x: _Accuracy) -> str:
    if x.value < 0.002:
        return f"{x.name} ends at its best value." if len(x.values) > 1 else ""
    return f"{x.name} ends {100 * x.value:.1f} points below its best."


def _certainty(x: _Accuracy) -> str:
    if x.value > 0.3:
        return (
            f"{x.name.replace('accuracy', 'loss')} is high for an accuracy of "
            f"{share(x.values[-1])}: wrong answers are given with certainty."
        )
    return f"{x.name.replace('accuracy', 'loss')} fits an accuracy of {share(x.values[-1])}."


def _first_surprise(x: _Accuracy) -> str:
    loss, accuracy = x.name.replace("accuracy", "loss"), share(x.values[0])
    if x.value > 1:
        return f"{loss} begins very high for an accuracy of {accuracy}."
    return f"{loss} begins where an accuracy of {accuracy} lets one expect it."


def _accuracy_noise(x: _Accuracy) -> str:
    if 100 * x.value < 0.05:
        return f"{x.name} does not wobble."
    return f"{x.name} wobbles by about {100 * x.value:.1f} points from point to point."


def _nats(x: _Accuracy) -> str:
    return f"{x.name.replace('accuracy', 'loss')} ends near {math.exp(x.value):.3g}."


_OF_ACCURACY: Mapping[str, Callable[[_Accuracy], str]] = {
    "accuracy": _ends_at,
    "error": _ends_at,
    "accuracy_gain": _gain,
    "accuracy_range": _range,
    "error_fall": _gain,
    "accuracy_lost": _lost,
    "nats": _nats,
    "overconfidence": _certainty,
    "first_surprise": _first_surprise,
    "accuracy_noise": _accuracy_noise,
}
