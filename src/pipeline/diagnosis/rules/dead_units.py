"""Units that are zero on every image."""

from __future__ import annotations

from pipeline.diagnosis.finding import Condition, Finding, above
from pipeline.diagnosis.measures import Measures
from pipeline.diagnosis.rules.card import Rule
from pipeline.diagnosis.rules.harm import known, measurable, poor, strongest, weights_alive


def judge(m: Measures) -> Finding:
    """Judge the last two moments, or what reaches the time steps at the start, and whether it does harm."""
    ways = measurable([lambda: _silent(m), lambda: (_cut(m),)])
    harm = known(poor(m, "train", times=1.3), weights_alive(m))
    return Finding("dead_units", (*strongest(ways), *harm))


def _silent(m: Measures) -> tuple[Condition, ...]:
    layer, share = m.dead
    return (
        above(f"silent units of {layer}", share.value, limit=0.5, grey=0.08, epochs=share.epochs),
        above("silent units in number", m.num_dead.value, limit=7.5, grey=1.5, epochs=share.epochs),
    )


def _cut(m: Measures) -> Condition:
    return above("time steps without any gradient before the first step", m.cut_steps, limit=0.5, grey=0.08)


RULE = Rule(
    verdict="dead_units",
    what="Units that give exactly zero on every image: no gradient passes them, they never come back.",
    harm="The layer is narrower than it is written; when all are dead, nothing in front of it learns.",
    decides="The share of units of one layer that are silent on all images of the probe, at two moments in a "
    "row, is above one half, and 8 units or more (in a narrower layer it is chance, and width the remedy); or "
    "before the first step no gradient at all reaches more than half of the time steps, next to a sizeable one at "
    "the last; and the training loss is poor.",
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
