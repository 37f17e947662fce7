"""The network learns its training images by heart."""

from __future__ import annotations

from pipeline.diagnosis.finding import Condition, Finding, Missing, above, below
from pipeline.diagnosis.measures import Measures
from pipeline.diagnosis.rules.card import Rule
from pipeline.diagnosis.rules.harm import apart, measurable


def judge(m: Measures) -> Finding:
    """Judge the rise of the validation loss, what is known by heart, and the gap to the training loss."""
    if len(m.val) < 3:
        raise Missing("three epochs")
    ways = measurable([lambda: (_rise(m),), lambda: (_by_heart(m), _in_vain(m))])
    gap = apart(m, limit=0.6, grey=0.1)
    return max((Finding("overfitting", (*way, gap)) for way in ways), key=lambda f: f.probability)


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
    left = m.unlearnt
    return below(
        "lowest training loss against validation loss",
        left.value,
        limit=0.05 if m.kept == m.last else 0.03,  # the epochs that did nothing are dropped already
        grey=0.3,
        error=left.error / max(left.value, 1e-12),
        log=True,
        epochs=left.epochs,
        unit="×",
    )


def _in_vain(m: Measures) -> Condition:
    """The last falls of the training loss did nothing for validation."""
    transfer = m.transfer
    return below(
        "share of the training loss's fall (in logarithms) that reached validation",
        transfer.value,
        limit=0.15,
        grey=0.04,
        error=transfer.error,
        epochs=transfer.epochs,
    )


RULE = Rule(
    verdict="overfitting",
    what="The network learns what is particular to its training images.",
    harm="What it learns last makes it worse, or more certain where it is wrong, on images it has not seen.",
    decides="The kept epoch's validation loss lies above the best one's by more than 5 % beyond noise (per example, "
    "paired; the best epoch is chosen on one half of the images and judged on the other; with curves alone by "
    "their trend since the best epoch). Or training images are known by heart in vain: the training loss came "
    "below 5 % of the validation loss (3 % where the epochs after the best one are dropped already), and of its "
    "last sixteenfold fall less than 0.15 (in logarithms) reached validation. And the two are far apart.",
    fails="On data where every answer can be certain, a training loss near zero may be no fault at all.",
    source="Prechelt, Early Stopping - But When?, 1998; Goodfellow, Bengio, Courville, Deep Learning, 2016, 5.2.",
    explains=frozenset(),
    judge=judge,
)
