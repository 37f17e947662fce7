"""Steps that are too large: divergence, oscillation, weights that blow up."""

from __future__ import annotations

import math

import numpy as np

from pipeline.diagnosis.finding import Condition, Finding, Missing, above
from pipeline.diagnosis.measures import Measures
from pipeline.diagnosis.rules.card import Rule
from pipeline.diagnosis.rules.harm import known, measurable, poor, sane_start, strongest, together

# What the remedies look for among the conditions.
GREW = "a layer's weights after the first epoch against before"
FELL_SILENT = "units that fell silent, of "


def judge(m: Measures) -> Finding:
    """Judge the curve's shape, the size of the steps, and what the first epoch did to the weights."""
    ways = measurable(
        [
            lambda: (_diverged(m),),
            lambda: (_rough(m, limit=0.05),),
            lambda: (_large(m), _rough(m, limit=0.015)),
            lambda: (_growth(m),),
            lambda: (_died(m),),
        ]
    )
    harm = known(poor(m, "val", times=1.2), _not_by_heart(m), sane_start(m))
    return Finding("learning_rate_too_high", (*strongest(ways), *harm))


def _diverged(m: Measures) -> Condition:
    """A loss that was finite once and is no longer, or lies far above where it began."""
    finite = np.isfinite(m.val) & np.isfinite(m.train)
    if not np.any(finite):
        try:
            m.initial  # noqa: B018 - a finite start is the only hint that the steps did it
        except Missing as error:
            raise Missing("a single finite loss") from error
    last = float(m.val[m.last])
    try:
        start = max(m.prior, float(m.at_start("val/loss_per_example").mean()))
    except Missing:
        start = m.prior
    level = last / start if math.isfinite(last) else math.inf
    return above(
        "validation loss against guessing, or against its start",
        level,
        limit=1.5,
        grey=0.15,
        log=True,
        epochs=m.span(m.last, m.last),
    )


def _rough(m: Measures, *, limit: float) -> Condition:
    rough = m.roughness
    return above(
        "mean rise of the training loss from epoch to epoch",
        rough.value,
        limit=limit,
        grey=0.35,
        log=True,
        epochs=rough.epochs,
    )


def _large(m: Measures) -> Condition:
    update = m.typical_update
    return above(
        "a step's size against the weights, on the median",
        update.value,
        limit=8e-3,
        grey=0.25,
        log=True,
        epochs=update.epochs,
        unit="×",
    )


def _growth(m: Measures) -> Condition:
    growth = m.growth
    return above(
        GREW,
        growth.value,
        limit=3.2,
        grey=0.2,
        log=True,
        epochs=growth.epochs,
        unit="×",
    )


def _died(m: Measures) -> Condition:
    """Units that answered before the first step, and are silent now."""
    layer, share = m.dead
    lost = share.value - m.dead_at_start
    return above(FELL_SILENT + layer, lost, limit=0.5, grey=0.07, epochs=share.epochs)


def _not_by_heart(m: Measures) -> Condition | None:
    """A network that knows its training images by heart has steps that arrive; None without finite losses."""
    try:
        return together(m, limit=0.8, grey=0.07)
    except Missing:
        return None


RULE = Rule(
    verdict="learning_rate_too_high",
    what="Steps are larger than the loss surface allows: they jump over the minimum, or out of the valley.",
    harm="The loss oscillates or diverges; units are thrown into regions from which they do not return.",
    decides="The loss is not finite or above 1.5 times guessing, or the training loss rises again and again from "
    "epoch to epoch (by 5 % on the mean, or by 1.5 % where a step changes the weights by more than 8 in 1,000 on "
    "the median of layers and epochs), or one epoch multiplied a layer's weights by 3.2 or more, or half a layer's "
    "units fell silent; and the kept model is poor, and does not know its training images by heart (above 20 % of "
    "the validation loss). A loss that was huge before the first step has its own rule.",
    fails="Small batches shake a curve too; a schedule that ends low hides an early oscillation.",
    source="LeCun, Bottou, Orr, Müller, Efficient BackProp, 1998, section 5; Goodfellow, Bengio, Courville, "
    "Deep Learning, 2016, 8.2 and 11.4.1; Karpathy, CS231n, Ratio of weights:updates.",
    explains=frozenset(
        {"dead_units", "not_learning", "underfitting", "overfitting", "undertrained", "over_regularized"}
    ),
    judge=judge,
)
