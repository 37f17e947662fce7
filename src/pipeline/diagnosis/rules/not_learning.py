"""Nothing is learnt: the answers are no better than guessing, and do not become so."""

from __future__ import annotations

from pipeline.diagnosis.finding import Condition, Finding, Missing, above, below, either
from pipeline.diagnosis.measures import Measures
from pipeline.diagnosis.rules.card import Rule
from pipeline.diagnosis.rules.harm import measurable


def judge(m: Measures) -> Finding:
    """Judge validation accuracy against chance, and whether validation loss still falls."""
    if m.last < 2:
        raise Missing("three epochs")
    progress = m.val_progress
    still = below(
        "fall of the validation loss an epoch",
        progress.value,
        limit=0.004,
        grey=0.002,
        error=progress.error,
        epochs=progress.epochs,
    )
    return Finding("not_learning", (either(measurable([lambda: _wrong(m), lambda: _loss(m)])), still))


def _wrong(m: Measures) -> Condition:
    """Chance is 1 - 1/K wrong; a tenth of the way to perfect counts as something learnt."""
    classes = m.history.context.num_classes
    if classes is None:
        raise Missing("the number of classes (num_classes=…)")
    wrong = m.errors("val", m.best)
    chance = 1 - 1 / classes
    return above(
        "wrong validation answers against chance",
        wrong.value / chance,
        limit=0.92,
        grey=0.03,
        error=wrong.error / chance,
        epochs=wrong.epochs,
        unit="×",
    )


def _loss(m: Measures) -> Condition:
    loss = m.loss("val", m.best)
    return above(
        "lowest validation loss against guessing",
        loss.value / m.prior,
        limit=0.97,
        grey=0.02,
        error=loss.error / m.prior,
        epochs=loss.epochs,
        unit="×",
    )


RULE = Rule(
    verdict="not_learning",
    what="The model's answers are those of guessing, and training does not change that.",
    harm="There is no model. Either the images say nothing about the labels (shuffled, misaligned), or the "
    "network cannot move (all weights equal, frozen).",
    decides="Validation answers are as wrong as chance, or the lowest validation loss is that of guessing; and "
    "validation loss does not fall. A cause that shows in the network (dead units, vanishing gradients, "
    "learning rate) is named instead.",
    fails="A very slow start (a plateau before the first progress) looks the same in its first epochs.",
    source="Zhang et al., Understanding deep learning requires rethinking generalization, 2017, "
    "https://arxiv.org/abs/1611.03530.",
    explains=frozenset({"overfitting", "underfitting", "label_noise", "undertrained"}),
    judge=judge,
)
