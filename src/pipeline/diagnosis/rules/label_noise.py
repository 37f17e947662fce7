"""Training labels that are wrong."""

from __future__ import annotations

from pipeline.diagnosis.finding import Finding, above
from pipeline.diagnosis.measures import Measures
from pipeline.diagnosis.rules.card import Rule


def judge(m: Measures) -> Finding:
    """Compare wrong answers on training and validation images, at the best epoch."""
    train, val = m.errors("train", m.best), m.errors("val", m.best)
    error = (train.error**2 + val.error**2) ** 0.5
    more = above(
        "wrong training answers beyond the wrong validation answers",
        train.value - val.value,
        limit=0.06,
        grey=0.015,
        error=error,
        epochs=train.epochs,
    )
    return Finding("label_noise", (more,))


RULE = Rule(
    verdict="label_noise",
    what="A share of the training images carries labels of other classes.",
    harm="The network spends its capacity on contradictions, and in the end learns them by heart.",
    decides="At the best epoch more training images than validation images are answered wrongly, both in "
    "evaluation mode: a network knows its training images better, unless their labels are wrong.",
    fails="Noise that is in the validation labels too does not show in this difference; nor does noise that "
    "was learnt by heart before the best epoch. A validation part that is easier than the training part "
    "looks the same.",
    source="Arpit et al., A Closer Look at Memorization in Deep Networks, 2017, https://arxiv.org/abs/1706.05394; "
    "Northcutt, Jiang, Chuang, Confident Learning, 2021, https://arxiv.org/abs/1911.00068.",
    explains=frozenset({"overfitting", "underfitting", "over_regularized", "undertrained"}),
    judge=judge,
)
