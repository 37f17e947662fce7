"""Sentences on a number of several curves, and how shares and ratios are written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

NOTHING = 0.0005  # a change that prints as none
EQUAL = "1 times"


def share(value: float) -> str:
    """Return ``0.1234`` as ``12 %``; one digit more below ten."""
    percent = 100 * value
    return f"{percent:.0f} %" if abs(percent) >= 10 else f"{percent:.1f} %"


def times(logarithm: float) -> str:
    """Return the ratio of a logarithm, as ``2.5 times``."""
    ratio = math.exp(min(logarithm, 30))
    return f"{ratio:.0f} times" if ratio >= 100 else f"{ratio:.2g} times"


def _gap(when: str) -> Callable[[float], str]:
    def text(value: float) -> str:
        if times(value) == EQUAL:
            return f"{when} both losses are about equal."
        return f"{when} the validation loss is {times(value)} the training loss."

    return text


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
    if times(abs(value)) == EQUAL:
        return "In the second half the ratio of validation to training loss stays."
    verb = "grows" if value > 0 else "shrinks"
    factor = times(abs(value))
    return f"In the second half the ratio of validation to training loss {verb} {factor}."


def _guessing(part: str) -> Callable[[float], str]:
    def text(value: float) -> str:
        if times(value) == EQUAL:
            return f"The lowest {part} loss is about that of guessing."
        return f"The lowest {part} loss is {times(value)} that of guessing."

    return text


def _rate(value: float) -> str:
    return f"The learning rate is {10**value:.2g}."


def _rate_fall(value: float) -> str:
    if value < NOTHING:
        return "The learning rate ends at its highest value."
    return f"The learning rate ends at {10**-value:.2g} of its highest value."


def _moved(value: float) -> str:
    if value < math.log(2):
        return f"No loss moves by more than {share(math.expm1(value))}."
    return f"The loss that moves most reaches {times(value)} its lowest value."


def _val_below_train(value: float) -> str:
    places = {0.0: "never lies below", 1.0: "always lies below"}
    if value in places:
        return f"The validation loss {places[value]} the training loss."
    return f"The validation loss lies below the training loss at {share(value)} of the points."


def _since_best(value: float) -> str:
    verb = (
        f"fell on by {share(1 - math.exp(-value))}" if value > NOTHING else "did not fall any more"
    )
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


OF_BOTH: Mapping[str, Callable[[float], str]] = {
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
    "moved": _moved,
    "fall_together": _fall_together,
    "gap_or_fall": _gap_or_fall,
    "learning_rate": _rate,
    "rate_fall": _rate_fall,
    "val_below_train": _val_below_train,
}
