"""Gradients that shrink from layer to layer, or from time step to time step."""

from __future__ import annotations

from pipeline.diagnosis.finding import Condition, Finding, Missing, below, either
from pipeline.diagnosis.measures import Measures
from pipeline.diagnosis.rules.card import Rule
from pipeline.diagnosis.rules.harm import known, measurable, poor, units_alive, weights_alive


def judge(m: Measures) -> Finding:
    """Judge the network as it was before its first step."""
    ways = measurable([lambda: _depth(m), lambda: _time(m)])
    conditions = (either(ways), poor(m, "train", times=1.3), weights_alive(m), units_alive(m))
    return Finding("vanishing_gradients", known(*conditions))


def _depth(m: Measures) -> Condition:
    return below(
        "first layer's gradient against the last hidden one's",
        m.depth_ratio(0),
        limit=0.02,
        grey=0.7,
        log=True,
        unit="×",
    )


def _time(m: Measures) -> Condition:
    if m.cut_steps > 0:
        raise Missing("a gradient at every time step")
    return below(
        "gradient at the first time step against the last",
        m.time_ratio(0),
        limit=1e-4,
        grey=1.0,
        log=True,
        unit="×",
    )


RULE = Rule(
    verdict="vanishing_gradients",
    what="What the loss tells is multiplied by less than one in each layer or time step on its way back.",
    harm="The first layers, or the early time steps, learn nothing: the last ones work on random features.",
    decides="Before the first step the first layer's gradient (per root of its weights), or that of the first "
    "time step, is a small share of the last hidden one's; and the training loss stays poor. Weights that are "
    "all zero and silent units, which cut a gradient off at once, have their own rules.",
    fails="Adam divides by the gradient's size, so that a moderate loss on the way may do no harm at all.",
    source="Hochreiter, Untersuchungen zu dynamischen neuronalen Netzen, 1991; Glorot and Bengio, 2010.",
    explains=frozenset(
        {
            *("not_learning", "learning_rate_too_low", "learning_rate_too_high", "undertrained"),
            *("underfitting", "over_regularized", "dead_units"),
        }
    ),
    judge=judge,
)
