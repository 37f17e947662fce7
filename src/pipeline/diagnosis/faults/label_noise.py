"""Training labels that are wrong."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.diagnosis.curve_levels import excess_train_error_rate
from pipeline.diagnosis.fault import Fault
from pipeline.diagnosis.measured import Claim
from pipeline.diagnosis.measured_run import MeasuredRun
from pipeline.diagnosis.record import Finding, Remedy
from pipeline.diagnosis.remedies import (
    Settings,
    early_stopping,
    label_smoothing,
    more_regularization,
    true_labels,
)


def judge(run: MeasuredRun) -> Claim:
    """Compare wrong answers on training and validation images, at the best epoch."""
    return excess_train_error_rate(run).above(0.06, grey=0.015)


def remedies(s: Settings, finding: Finding) -> Iterator[Remedy]:
    """True labels, or a training that does not learn the wrong ones by heart."""
    yield from true_labels(s)
    yield from early_stopping(s)
    yield from label_smoothing(s)
    yield from (r for r in more_regularization(s) if r.name in ("dropout", "augment"))


FAULT = Fault(
    verdict="label_noise",
    rank=80,
    what="A share of the training images carries labels of other classes.",
    harm="The network spends capacity on contradictions and finally learns them by heart.",
    decides="At the best epoch, more training images than validation images are answered wrongly, "
    "both in evaluation mode, over 100 examples each at least. A network knows its training images "
    "better unless their labels are wrong.",
    fails="Noise in the validation labels too does not show, nor does noise that was learned by "
    "heart before the best epoch. A validation part that is easier than the training part looks "
    "the same.",
    source="Arpit et al., A Closer Look at Memorization in Deep Networks, 2017, "
    "https://arxiv.org/abs/1706.05394; Northcutt, Jiang, Chuang, Confident Learning, 2021, "
    "https://arxiv.org/abs/1911.00068.",
    explains=frozenset({"over_regularized", "overfitting", "underfitting", "undertrained"}),
    judge=judge,
    remedies=remedies,
)
