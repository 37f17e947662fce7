"""Regularisation that keeps the network from fitting even its training images."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.diagnosis.finding import Condition, Finding, Missing, above, either
from pipeline.diagnosis.measures import Measures
from pipeline.diagnosis.rules.card import Rule
from pipeline.diagnosis.rules.harm import known, measurable, poor, sane_start


def judge(m: Measures) -> Finding:
    """Judge how strong regularisation is, and what is left of the fit."""
    strong = either(measurable([lambda: _penalty(m), lambda: _dropout(m), lambda: _burden(m)]))
    return Finding("over_regularized", known(strong, poor(m, "train", times=1.0), sane_start(m)))


def _penalty(m: Measures) -> Condition:
    share = m.penalty_share
    return above(
        "share of the penalties in the gradient",
        share.value,
        limit=0.05,
        grey=0.3,
        log=True,
        epochs=share.epochs,
    )


def _dropout(m: Measures) -> Condition:
    model = m.history.context.settings.get("model")
    if not isinstance(model, Mapping):
        raise Missing("the settings")
    found = [float(v) for k, v in model.items() if "dropout" in k and isinstance(v, int | float)]
    if not found:
        raise Missing("a dropout")
    return above("dropout", max(found), limit=0.7, grey=0.05)


def _burden(m: Measures) -> Condition:
    burden = m.burden
    return above(
        "loss with regularisation against without",
        burden.value,
        limit=3.0,
        grey=0.3,
        log=True,
        epochs=burden.epochs,
        unit="×",
    )


RULE = Rule(
    verdict="over_regularized",
    what="Penalties, dropout or augmentation are stronger than what the data needs.",
    harm="The network may not use what it has: training and validation loss stay high together.",
    decides="Penalties make up a twentieth of the gradient or more (median of the epochs), or dropout is above "
    "0.7, or regularisation multiplies the training loss by three; and even the training images are fitted worse "
    "than a cheap baseline does unseen ones.",
    fails="Decoupled weight decay (AdamW) is no part of the gradient and does not show in its share.",
    source="Goodfellow, Bengio, Courville, Deep Learning, 2016, 7.1 and 11.4.",
    explains=frozenset(
        {
            "underfitting",
            "not_learning",
            "dead_units",
            "undertrained",
            "learning_rate_too_high",
            "learning_rate_too_low",
        }
    ),
    judge=judge,
)
