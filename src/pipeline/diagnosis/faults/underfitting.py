"""A network that is too small for the data."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.diagnosis.conditions import poor_loss, sane_start
from pipeline.diagnosis.curve_levels import generalization_gap
from pipeline.diagnosis.curve_movements import train_loss_fall
from pipeline.diagnosis.fault import Fault
from pipeline.diagnosis.measured import Claim, all_of
from pipeline.diagnosis.measured_run import MeasuredRun
from pipeline.diagnosis.record import Finding, Remedy
from pipeline.diagnosis.remedies import (
    RECURRENT,
    Settings,
    less_regularization,
    more_epochs,
    of_table,
    wider,
)


def judge(run: MeasuredRun) -> Claim:
    """Judge the training loss at the end, once it has come to rest."""
    return all_of(
        poor_loss(run, "train", times=2.0),
        train_loss_fall(run).below(0.08, grey=0.015),
        generalization_gap(run).below(0.35, grey=0.08),
        sane_start(run),
    )


def remedies(s: Settings, finding: Finding) -> Iterator[Remedy]:
    """A larger network, a longer training, less regularization."""
    yield from wider(s)
    model = s["model"]
    if model["name"] in ("mlp", *RECURRENT):
        why = "another layer combines features"
        yield Remedy("deeper", (f"model.depth={model['depth'] + 1}",), why)
    if model["name"] == "mlp" and not of_table(s):
        why = "convolutions find a stroke wherever it is"
        yield Remedy("richer_features", ("model=cnn",), why)
    yield more_epochs(s, times=3)
    yield from less_regularization(s)


FAULT = Fault(
    verdict="underfitting",
    rank=110,
    what="The network is too small to learn the differences between the classes.",
    harm="It is wrong on training and validation images alike, and longer training does not help.",
    decides="The last training loss is more than twice the validation loss of the better baseline "
    "(logistic regression, random features). Less is enough where that baseline is itself "
    "poor. The loss hardly falls any more, and validation loss is near it.",
    fails="Without a data card the comparison is with guessing, which is a crude measure.",
    source="Goodfellow, Bengio, Courville, Deep Learning, 2016, 5.2; Ng, Machine Learning "
    "Yearning, chapters 20-27.",
    judge=judge,
    least_epochs=4,
    remedies=remedies,
)
