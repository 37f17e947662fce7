"""Conditions that several rules share: whether a loss is poor, and whether units and weights are alive."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from pipeline.diagnosis.finding import Condition, Missing, above, below
from pipeline.diagnosis.measures import Measures

Way = TypeVar("Way")

# Of the loss of guessing; only where no baseline is known.
POOR_SHARE_OF_PRIOR = 0.2


def poor(m: Measures, part: str, *, times: float) -> Condition:
    """The loss of a part is above ``times`` that of the better cheap baseline (validation loss).

    Where no baseline is known: above a share of the loss of guessing. Training loss is judged at the
    last epoch, validation loss at the kept one.
    """
    name = {"train": "training", "val": "validation"}[part]
    loss = m.loss(part, m.last if part == "train" else m.kept)
    if not math.isfinite(loss.value):
        return above(f"{name} loss", math.inf, limit=1.0, grey=1.0, log=True, epochs=loss.epochs)
    try:
        base, against, limit = m.reference, "the better cheap baseline's", times
    except Missing:
        base, against, limit = m.prior, "that of guessing", POOR_SHARE_OF_PRIOR * times
    ratio, error = loss.value / base, loss.error / max(loss.value, 1e-12)
    return above(
        f"{name} loss against {against}",
        ratio,
        limit=limit,
        grey=0.2,
        error=error,
        log=True,
        epochs=loss.epochs,
        unit="×",
    )


def weights_alive(m: Measures) -> Condition | None:
    """Not all weights are zero before the first step; None where that was not measured."""
    try:
        return below("layers whose weights are all zero", m.zero_weights, limit=0.5, grey=0.1)
    except Missing:
        return None


def units_alive(m: Measures) -> Condition | None:
    """Most units answer to some image before the first step; None where that was not measured."""
    try:
        return below("units silent before the first step", m.dead_at_start, limit=0.6, grey=0.1)
    except Missing:
        return None


def wild_start(m: Measures) -> Condition:
    """The loss before the first step is many times that of guessing."""
    return _start(m, above)


def sane_start(m: Measures) -> Condition | None:
    """It is not; None where that was not measured."""
    try:
        return _start(m, below)
    except Missing:
        return None


def _start(m: Measures, side: Callable[..., Condition]) -> Condition:
    start = m.initial
    return side(
        "loss before the first step against guessing",
        start.value,
        limit=6.0,
        grey=0.35,
        error=start.error / max(start.value, 1e-12),
        log=True,
        unit="×",
    )


def together(m: Measures, *, limit: float, grey: float) -> Condition:
    """Training and validation loss are near each other."""
    return _gap(m, below, limit, grey)


def apart(m: Measures, *, limit: float, grey: float) -> Condition:
    """Training loss has left validation loss behind."""
    return _gap(m, above, limit, grey)


def _gap(m: Measures, side: Callable[..., Condition], limit: float, grey: float) -> Condition:
    gap = m.gap
    return side(
        "share of the validation loss not there on training images",
        gap.value,
        limit=limit,
        grey=grey,
        error=gap.error,
        epochs=gap.epochs,
    )


def known(*conditions: Condition | None) -> tuple[Condition, ...]:
    """Those that could be measured."""
    return tuple(c for c in conditions if c is not None)


def measurable(ways: Sequence[Callable[[], Way]]) -> list[Way]:
    """The ways to see something whose numbers are there. Raises `Missing`, with what is lacking, when none is."""
    found, lacking = [], []
    for way in ways:
        try:
            found.append(way())
        except Missing as error:
            lacking.append(str(error))
    if not found:
        raise Missing(" or ".join(dict.fromkeys(lacking)))
    return found


def strongest(ways: Sequence[tuple[Condition, ...]]) -> tuple[Condition, ...]:
    """The way that shows most clearly, whatever else the finding asks: each as its weakest condition does."""
    return max(ways, key=lambda way: min(c.probability for c in way))
