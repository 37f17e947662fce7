"""Units that are zero on every image."""

from __future__ import annotations

from pipeline.diagnosis.finding import Finding, above
from pipeline.diagnosis.measures import Measures
from pipeline.diagnosis.rules.card import Rule
from pipeline.diagnosis.rules.harm import known, poor, weights_alive


def judge(m: Measures) -> Finding:
    """Judge the last two moments, and whether it does harm."""
    layer, share = m.dead
    silent = above(f"silent units of {layer}", share.value, limit=0.5, grey=0.08, epochs=share.epochs)
    num = above("silent units in number", m.num_dead.value, limit=7.5, grey=1.5, epochs=share.epochs)
    return Finding("dead_units", known(silent, num, poor(m, "train", times=1.5), weights_alive(m)))


RULE = Rule(
    verdict="dead_units",
    what="Units that give exactly zero on every image: no gradient passes them, they never come back.",
    harm="The layer is narrower than it is written; when all are dead, nothing in front of it learns.",
    decides="The share of units of one layer that are silent on all images of the probe, at two moments in a "
    "row, is above one half, and 8 units or more; and the training loss is poor. In a narrower layer it is "
    "chance, and width the remedy.",
    fails="A probe of few images calls a rare feature's unit dead.",
    source="Lu et al., Dying ReLU and Initialization, 2019, https://arxiv.org/abs/1903.06733.",
    explains=frozenset(
        {
            *("not_learning", "vanishing_gradients", "underfitting", "learning_rate_too_low"),
            *("over_regularized", "undertrained"),
        }
    ),
    judge=judge,
)
