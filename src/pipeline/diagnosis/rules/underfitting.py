"""A network that is too small for the data."""

from __future__ import annotations

from pipeline.diagnosis.finding import Finding, Missing, below
from pipeline.diagnosis.measures import Measures
from pipeline.diagnosis.rules.card import Rule
from pipeline.diagnosis.rules.harm import known, poor, sane_start, together


def judge(m: Measures) -> Finding:
    """Judge the training loss at the end, once it has come to rest."""
    if m.last < 3:
        raise Missing("four epochs")
    progress = m.progress
    resting = below(
        "fall of the training loss an epoch",
        progress.value,
        limit=0.08,
        grey=0.015,
        error=progress.error,
        epochs=progress.epochs,
    )
    return Finding(
        "underfitting",
        known(poor(m, "train", times=2.0), resting, together(m, limit=0.35, grey=0.08), sane_start(m)),
    )


RULE = Rule(
    verdict="underfitting",
    what="The network is too small to follow what distinguishes the classes.",
    harm="It is wrong on training and validation images alike, and longer training does not help.",
    decides="Training loss at its end is more than twice the validation loss of the better cheap baseline (logistic "
    "regression, random features), hardly falls any more, and validation loss is near it.",
    fails="Without a data card the comparison is with guessing, which is a crude measure.",
    source="Goodfellow, Bengio, Courville, Deep Learning, 2016, 5.2; Ng, Machine Learning Yearning, chapters 20-27.",
    explains=frozenset(),
    judge=judge,
)
