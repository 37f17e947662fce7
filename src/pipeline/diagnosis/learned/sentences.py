"""A number of a curve's shape as a sentence that needs no glossary.

Each sentence states a fact with the numbers of the log itself. It holds whether the fact speaks for
a verdict or against it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from pipeline.diagnosis.learned.numbers import Curves

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
        return _OF_LOSS[rest](_Loss(PARTS[part], curves.losses[part], value))
    if part in PARTS and rest in _OF_ACCURACY:
        accuracy = curves.accuracies[part]
        return _OF_ACCURACY[rest](_Accuracy(PARTS[part], accuracy[np.isfinite(accuracy)], value))
    if name in _OF_BOTH:
        return _OF_BOTH[name](value)
    return ""


# Numbers for which the sentence of another number stands.
_SAME = {"gap_in_noise": "gap", "overfitting_rule": "parted", "undertrained_rule": "val_late_fall"}


def share(value: float) -> str:
    """Return ``0.1234`` as ``12 %``; one digit more below ten."""
    percent = 100 * value
    return f"{percent:.0f} %" if abs(percent) >= 10 else f"{percent:.1f} %"


def times(logarithm: float) -> str:
    """Return the ratio of a logarithm, as ``2.5 times``."""
    ratio = math.exp(min(logarithm, 30))
    return f"{ratio:.0f} times" if ratio >= 100 else f"{ratio:.2g} times"


def by(logarithm: float) -> str:
    """Return how much a loss falls by that logarithm: ``by 63 %``."""
    return f"by {share(1 - math.exp(-max(logarithm, 0.0)))}"


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
    low, first = x.loss.min(), x.loss[0]
    return f"{x.name} falls {by(x.value)}, from {first:.3g} to {low:.3g} at its lowest."


def _end_fall(x: _Loss) -> str:
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
    return f"{x.name} wobbles by about {share(noise)} from point to point."


def _jump(x: _Loss) -> str:
    if x.value <= 0.005:
        return f"{x.name} falls at every point."
    rise = share(math.expm1(min(x.value, 20)))
    return f"The largest rise of {x.name.lower()} between two points is {rise}."


def _late_share(x: _Loss) -> str:
    if x.value < 0:
        return f"{x.name} rises in the second half."
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
    first, best = x.values[0], x.values.max()
    return f"{x.name} rises from {share(first)} to {share(best)} at its best."


def _lost(x: _Accuracy) -> str:
    if x.value < 0.002:
        return f"{x.name} ends at its best value."
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
    return f"{x.name} wobbles by about {100 * x.value:.1f} points from point to point."


def _nats(x: _Accuracy) -> str:
    return f"{x.name.replace('accuracy', 'loss')} ends near {math.exp(x.value):.3g}."


_OF_ACCURACY: Mapping[str, Callable[[_Accuracy], str]] = {
    "accuracy": _ends_at,
    "error": _ends_at,
    "accuracy_gain": _gain,
    "accuracy_range": _gain,
    "error_fall": _gain,
    "accuracy_lost": _lost,
    "nats": _nats,
    "overconfidence": _certainty,
    "first_surprise": _first_surprise,
    "accuracy_noise": _accuracy_noise,
}


def _gap(when: str) -> Callable[[float], str]:
    return lambda value: f"{when} the validation loss is {times(value)} the training loss."


def _accuracy_gap(when: str) -> Callable[[float], str]:
    def text(value: float) -> str:
        if abs(value) < 0.001:
            return f"{when} training and validation accuracy are equal."
        side = "above" if value > 0 else "below"
        points = f"{100 * abs(value):.1f} points"
        return f"{when} the training accuracy is {points} {side} that of validation."

    return text


def _parting(value: float) -> str:
    if value > 0:
        return "In the second half the validation loss loses touch with the training loss."
    return "In the second half the validation loss follows the training loss."


def _growth(value: float) -> str:
    verb = "grows" if value > 0 else "shrinks"
    factor = times(abs(value))
    return f"In the second half the ratio of validation to training loss {verb} {factor}."


def _guessing(part: str) -> Callable[[float], str]:
    return lambda value: f"The lowest {part} loss is {times(value)} that of guessing."


def _rate(value: float) -> str:
    return f"The learning rate is {10**value:.2g}."


def _lost_loss(value: float) -> str:
    return "A loss ended as nan or infinite." if value else ""


def _since_best(value: float) -> str:
    verb = f"fell on by {share(1 - math.exp(-value))}" if value > 0 else "did not fall any more"
    return f"After the lowest validation loss the training loss {verb}."


def _parted(value: float) -> str:
    if value > 0.005:
        return "After its lowest value the validation loss rose while the training loss fell on."
    return "The validation loss never rose while the training loss fell on."


def _rose_together(value: float) -> str:
    if value > 0.02:
        return f"Both losses end {share(math.expm1(min(value, 20)))} or more above their lowest."
    return "The losses do not rise together at the end."


def _fall_together(value: float) -> str:
    if value > 0.01:
        return f"Both losses still fall, by {share(1 - math.exp(-value))} over the last third."
    return "The losses do not fall together any more."


def _gap_or_fall(value: float) -> str:
    if value < 0.1:
        return "The training loss is at rest, and no lower than the validation loss."
    return "The training loss still falls, or lies below the validation loss."


_OF_BOTH: Mapping[str, Callable[[float], str]] = {
    "lost": _lost_loss,
    "gap": _gap("At the end"),
    "gap_at_best": _gap("At the lowest validation loss,"),
    "gap_at_first": _gap("At the first point"),
    "gap_growth": _growth,
    "late_parting": _parting,
    "accuracy_gap": _accuracy_gap("At the end"),
    "accuracy_gap_at_best": _accuracy_gap("At the lowest validation loss,"),
    "accuracy_gap_at_first": _accuracy_gap("At the first point"),
    "train_over_guessing": _guessing("training"),
    "val_over_guessing": _guessing("validation"),
    "accuracy_over_guessing": lambda value: (
        f"The best validation accuracy covers {share(max(value, 0.0))} of the way from guessing "
        "to perfect."
    ),
    "train_fall_since_best": _since_best,
    "parted": _parted,
    "rose_together": _rose_together,
    "moved": lambda value: f"No loss moves by more than {times(value)}.",
    "fall_together": _fall_together,
    "gap_or_fall": _gap_or_fall,
    "learning_rate": _rate,
    "rate_fall": lambda value: f"The learning rate ends at {10**-value:.2g} of its highest value.",
    "val_below_train": lambda value: (
        f"The validation loss lies below the training loss at {share(value)} of the points."
    ),
}
