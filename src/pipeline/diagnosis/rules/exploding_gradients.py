"""Gradients that grow from layer to layer, or from time step to time step."""

from __future__ import annotations

from pipeline.diagnosis.finding import Condition, Finding, above, either
from pipeline.diagnosis.measures import Measures
from pipeline.diagnosis.rules.card import Rule
from pipeline.diagnosis.rules.harm import known, measurable, poor, weights_alive, wild_start


def judge(m: Measures) -> Finding:
    """Judge the network as it was before its first step."""
    ways = measurable([lambda: wild_start(m), lambda: _depth(m), lambda: _time(m)])
    return Finding("exploding_gradients", known(either(ways), poor(m, "val", times=1.1), weights_alive(m)))


def _depth(m: Measures) -> Condition:
    return above(
        "first layer's gradient against the last hidden one's",
        m.depth_ratio(0),
        limit=60.0,
        grey=0.7,
        log=True,
        unit="×",
    )


def _time(m: Measures) -> Condition:
    return above(
        "gradient at the first time step against the last",
        m.time_ratio(0),
        limit=1.0,
        grey=0.5,
        log=True,
        unit="×",
    )


RULE = Rule(
    verdict="exploding_gradients",
    what="Activations or gradients are multiplied by more than one in each layer or time step.",
    harm="Steps are huge and blind; the loss starts far above guessing and is paid for confidently wrong answers.",
    decides="Before the first step: the loss is many times that of guessing, or the first layer's gradient is "
    "many times the last hidden one's, or the first time step's larger than the last one's; and the kept model is poor.",
    fails="A network that starts badly and is rescued by a long training is not found once it is good.",
    source="Pascanu, Mikolov, Bengio, On the difficulty of training recurrent neural networks, 2013; "
    "Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010.",
    explains=frozenset(
        {
            *("learning_rate_too_high", "learning_rate_too_low", "dead_units", "not_learning", "overfitting"),
            *("undertrained", "underfitting", "label_noise", "over_regularized", "vanishing_gradients"),
        }
    ),
    judge=judge,
)
