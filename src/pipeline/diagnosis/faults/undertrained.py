"""Training that ended while it still improved."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.diagnosis.conditions import sane_start
from pipeline.diagnosis.curve_levels import generalization_gap
from pipeline.diagnosis.curve_movements import val_loss_fall
from pipeline.diagnosis.fault import Fault
from pipeline.diagnosis.measured import Claim, all_of
from pipeline.diagnosis.measured_run import MeasuredRun
from pipeline.diagnosis.record import Finding, Remedy
from pipeline.diagnosis.remedies import Settings, more_epochs


def judge(run: MeasuredRun) -> Claim:
    """Judge how fast validation loss falls at the end."""
    fall = val_loss_fall(run)
    # The first epochs of a slow start fall slowly.
    falls = fall.above(0.08, grey=0.015) if run.num_epochs > 3 else fall.above(0.03, grey=0.006)
    return all_of(falls, generalization_gap(run).below(0.6, grey=0.1), sane_start(run))


def remedies(s: Settings, finding: Finding) -> Iterator[Remedy]:
    """More epochs, or larger steps."""
    yield more_epochs(s, times=4)
    rate = 3 * s["optimizer"]["learning_rate"]
    why = "the same progress in fewer steps"
    yield Remedy("higher_learning_rate", (f"optimizer.learning_rate={rate:g}",), why)


FAULT = Fault(
    verdict="undertrained",
    rank=100,
    what="Training stopped although the last epochs still made the model better.",
    harm="The model is worse than these settings allow, so a comparison with others says little.",
    decides="Over the last quarter (four points at least), validation loss falls by more than 8 % "
    "per epoch, beyond noise. In a run of fewer than four epochs, 3 % are enough. And training "
    "loss does not lie far below it.",
    fails="A slow fall over very many epochs stays below 8 % per epoch.",
    source="Prechelt, Early Stopping - But When?, 1998; Sen, Estimates of the Regression "
    "Coefficient Based on Kendall's Tau, 1968.",
    explains=frozenset({"underfitting"}),
    judge=judge,
    remedies=remedies,
)
