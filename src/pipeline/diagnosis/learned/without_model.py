"""Verdicts that need no model: a loss that was lost, and a training loss without validation."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.diagnosis.faults import fault_of
from pipeline.diagnosis.history import History
from pipeline.diagnosis.learned import lost
from pipeline.diagnosis.learned.facts import CERTAIN, NO_FALL
from pipeline.diagnosis.learned.numbers import Curves
from pipeline.diagnosis.learned.sentences import in_words
from pipeline.diagnosis.record import (
    FAMILIES,
    UNDETERMINED,
    UNSTABLE,
    Diagnosis,
    Evidence,
    Finding,
    Likely,
)

# Of a training loss without validation: a rise or a peak that is far, in logarithms; and the share
# of its fall in the second half from which on it still falls.
FAR_RISE, STILL_FALLING = 0.7, 0.1
FROM_TRAINING_ALONE = 0.8  # the confidence in what a training loss alone shows
EVEN = 0.5


def lost_at_once(name: str) -> Diagnosis:
    """Return the verdict on a run of which no loss was ever finite: unstable, of an open fault.

    No curve tells steps that are too large from an input that is broken: both lose the loss within
    the first epoch. The corpus has no broken input, so the odds of the two are called even.
    """
    return Diagnosis(
        name=name, verdict=UNDETERMINED, confidence=EVEN, ranked=("learning_rate_too_high",),
        reason="no loss was ever a finite number: the steps are too large, or the input is broken "
        "(missing values, log(0), half precision)",
        findings=(), follow=(), undecided=(), ruled_out=(), not_run=(), told_by="shape",
        family=UNSTABLE, family_confidence=CERTAIN,
        likely=(Likely("learning_rate_too_high", EVEN),),
        settle="Measure the loss of a few batches before the first step. If each is a finite "
        "number, a tenth of the learning rate tells; if not, the input is broken.",
    )  # fmt: skip


def training_alone(history: History, curves: Curves, found: Mapping[str, float]) -> Diagnosis:
    """Judge a training loss without validation for what it can show, without the model.

    A loss that rose far is unstable; one that hardly moved does not learn. Whether a falling one
    carries over to new data, nobody can tell.
    """
    settle = settle_alone(curves)
    if found["train_rise"] > FAR_RISE or found["train_peak"] > FAR_RISE:
        return by_fact(history, curves, "learning_rate_too_high", found, settle)
    if found["train_fall"] < NO_FALL:
        return by_fact(history, curves, "not_learning", found, settle)
    late = found["train_late_share"]
    state = "still falls" if late > STILL_FALLING else "has come to rest"
    return undetermined(
        history, f"the training loss {state}, and there is no validation", settle=settle
    )


def nothing_left(history: History) -> Diagnosis:
    """Return that no point of the log has an error, so its curves cannot show how it came about."""
    reason = (
        "no point of the log has an error: the model was perfect before the log began, or the log "
        "rounds its losses to 0"
    )
    return undetermined(
        history, reason, settle="Log more digits, and test the model on examples it has never seen."
    )


def settle_alone(curves: Curves) -> str:
    """Ask for a validation where there is none."""
    if curves.val_loss is not None or curves.val_accuracy is not None:
        return ""
    return "Log the validation loss too: it tells whether the model carries over to new data."


def by_fact(
    history: History, curves: Curves, verdict: str, found: Mapping[str, float], settle: str
) -> Diagnosis:
    """Return the verdict that one fact of the curves gives, with this fact as its evidence."""
    name = "train_rise" if "rate" in verdict else "train_fall"
    sure = CERTAIN if found["lost"] else FROM_TRAINING_ALONE
    shown = (Evidence(name, in_words(name, found, curves), 0.0),)
    evidence = lost.evidence(curves.losses, history) if found["lost"] else shown
    fault = fault_of(verdict)
    finding = Finding(
        verdict=verdict, probability=sure, what=fault.what, harm=fault.harm,
        conditions=(), evidence=evidence,
    )  # fmt: skip
    return Diagnosis(
        name=history.name, verdict=verdict, confidence=sure, ranked=(verdict,),
        findings=(finding,), follow=(), undecided=(), ruled_out=(), not_run=(), told_by="shape",
        family=FAMILIES[verdict], family_confidence=sure,
        likely=(Likely(verdict, sure),), evidence=evidence, settle=settle,
    )  # fmt: skip


def undetermined(history: History, reason: str, *, settle: str) -> Diagnosis:
    """Return that nothing could be determined, why, and what would help."""
    return Diagnosis(
        name=history.name, verdict=UNDETERMINED, confidence=0.0, ranked=(), reason=reason,
        findings=(), follow=(), undecided=(), ruled_out=(), not_run=(), told_by="shape",
        settle=settle,
    )  # fmt: skip
