"""The network learns its training images by heart."""

from __future__ import annotations

from pipeline.diagnosis.finding import Condition, Finding, Missing, above, below, either
from pipeline.diagnosis.measures import Measures
from pipeline.diagnosis.rules.card import Rule
from pipeline.diagnosis.rules.harm import apart, measurable


def judge(m: Measures) -> Finding:
    """Judge the rise of the validation loss since its best epoch, and the gap to the training loss."""
    if m.last < 2:
        raise Missing("three epochs")
    shown = either(measurable([lambda: _rise(m), lambda: _by_heart(m)]))
    return Finding("overfitting", (shown, apart(m, limit=0.4, grey=0.1)))


def _rise(m: Measures) -> Condition:
    rise = m.rise
    return above(
        "rise of the validation loss since its best epoch",
        rise.value,
        limit=0.05,
        grey=0.02,
        error=rise.error,
        epochs=rise.epochs,
    )


def _by_heart(m: Measures) -> Condition:
    """Training loss next to nothing beside validation loss."""
    gap = m.gap
    return below(
        "training loss against validation loss",
        max(1 - gap.value, 0.0),
        limit=0.035,
        grey=0.3,
        log=True,
        epochs=gap.epochs,
        unit="×",
    )


RULE = Rule(
    verdict="overfitting",
    what="The network learns what is particular to its training images.",
    harm="What it learns last makes it worse, or more certain where it is wrong, on images it has not seen.",
    decides="The kept epoch's validation loss lies above the best one's by more than 5 % beyond noise (per example, "
    "paired; the best epoch is chosen on one half of the images and judged on the other), or the training loss "
    "is less than 3.5 % of the validation loss; and the two are far apart.",
    fails="On data where every answer can be certain, a training loss near zero may be no fault at all.",
    source="Prechelt, Early Stopping - But When?, 1998; Goodfellow, Bengio, Courville, Deep Learning, 2016, 5.2.",
    explains=frozenset(),
    judge=judge,
)
