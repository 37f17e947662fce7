"""The network learns its training images by heart."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.diagnosis.curve_levels import generalization_gap, memorization_ratio
from pipeline.diagnosis.curve_movements import loss_transfer, val_loss_rise
from pipeline.diagnosis.fault import Fault
from pipeline.diagnosis.measured import Claim, all_of, any_of
from pipeline.diagnosis.measured_run import MeasuredRun
from pipeline.diagnosis.record import Finding, Remedy
from pipeline.diagnosis.remedies import (
    Settings,
    early_stopping,
    more_regularization,
    size_of,
)


def judge(run: MeasuredRun) -> Claim:
    """Judge the rise of the validation loss, what is known by heart, and the generalization gap."""
    # A run that keeps its best epoch has dropped the later ones, which did nothing.
    by_heart = 0.05 if run.kept == run.last else 0.03
    return all_of(
        any_of(
            val_loss_rise(run).above(0.05, grey=0.02),
            all_of(
                memorization_ratio(run).below(by_heart, grey=0.3),
                loss_transfer(run).below(0.15, grey=0.04),
            ),
        ),
        generalization_gap(run).above(0.6, grey=0.1),
    )


def remedies(s: Settings, finding: Finding) -> Iterator[Remedy]:
    """More data, more regularization, the best epoch, or a smaller model."""
    fraction = s["data"]["fraction"]
    if fraction < 1:
        why = "more images leave less to learn by heart"
        yield Remedy("more_data", ("data.fraction=1.0",), why, cost=1 / fraction)
    yield from more_regularization(s)
    yield from early_stopping(s)
    width = size_of(s["model"], "width")
    if width >= 32:
        why = "fewer units can learn less by heart"
        yield Remedy("smaller_model", (f"model.width={width // 2}",), why)


FAULT = Fault(
    verdict="overfitting",
    rank=90,
    what="The network learns details that only its training images have.",
    harm="Late in training, it becomes worse on new images, or more certain of wrong answers.",
    decides="The generalization gap is above 0.6, and one of two signs shows. The kept epoch's "
    "validation loss lies more than 5 % above the best epoch's, beyond noise. Or the training "
    "images are known by heart without a gain. The training loss then came below 5 % of the "
    "validation loss (3 % where the best epoch is kept). And less than 15 % of its last "
    "sixteenfold drop (log scale) also showed in validation. Where losses per example are known, "
    "half of the images choose the best epoch and the other half judge it. Else the trend since "
    "the best epoch counts.",
    fails="On data where every answer can be certain, a training loss near zero may be no fault.",
    source="Prechelt, Early Stopping - But When?, 1998; Goodfellow, Bengio, Courville, Deep "
    "Learning, 2016, 5.2.",
    judge=judge,
    least_epochs=3,
    remedies=remedies,
)
