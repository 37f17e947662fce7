"""The verdict on curves alone: guards that need no model, then the fitted model, then words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pipeline.diagnosis.faults import fault_of
from pipeline.diagnosis.history import History
from pipeline.diagnosis.learned.model import Class, Judged, fitted
from pipeline.diagnosis.learned.numbers import Curves, numbers
from pipeline.diagnosis.learned.sentences import in_words
from pipeline.diagnosis.record import (
    DOES_NOT_FIT,
    FAMILIES,
    HEALTHY,
    UNDETERMINED,
    UNSTABLE,
    Diagnosis,
    Evidence,
    Finding,
    Likely,
)

LEAST_POINTS = 3
# A family is named from this probability on, health already from the second one: of the rules that
# were tried on the corpus, this one alarms few healthy runs and leaves few runs open.
LEAST_FAMILY, CALLS_HEALTHY = 0.7, 0.25
NUM_REASONS = 3
CERTAIN = 0.95  # the probability of a verdict that follows from a fact
# Of a training loss without validation, in logarithms: a rise or a peak that is far, a fall that is
# none; and the share of its fall in the second half from which on it still falls.
FAR_RISE, NO_FALL, STILL_FALLING = 0.7, 0.02, 0.1
FROM_TRAINING_ALONE = 0.8  # the confidence in what a training loss alone shows
# Of an accuracy below the second share whose values differ by less than the first, over so many
# points: every answer was the same.
ALIKE, NEARLY_ALL, LEAST_POINTS_ALIKE = 0.005, 0.97, 4
STILL = 0.002  # a curve that moves by less does not move
# From this distance on, a note says that the curves are unlike those of the corpus.
FAR = 0.5


def by_shape(history: History) -> Diagnosis:
    """Judge the shape of a history's curves; no setting and no signal is needed."""
    curves = curves_of(history)
    lacking = _lacking(curves)
    if lacking:
        return _undetermined(history, lacking[0], settle=lacking[1])
    found = numbers(curves)
    if curves.val_loss is None and curves.val_accuracy is None:
        return training_alone(history, found)
    judged = guarded(fitted().judge(found), found)
    likely, families = _likely(judged.verdicts), judged.families
    family = family_said(families)
    if not family:
        return _open(history, curves, judged, likely)
    within = judged.within(family)
    verdict = max(within, key=lambda each: within[each])
    evidence = _evidence(judged, found, curves, (family, verdict))
    return Diagnosis(
        name=history.name,
        verdict=verdict,
        confidence=judged.verdicts[verdict],
        ranked=tuple(each.verdict for each in likely),
        findings=() if verdict == HEALTHY else (_finding(verdict, judged, evidence),),
        follow=(),
        undecided=(),
        ruled_out=(),
        not_run=(),
        told_by="shape",
        family=family,
        family_confidence=families[family],
        likely=likely,
        evidence=evidence,
        notes=_notes(judged),
        settle=_settle(curves, likely),
    )


def training_alone(history: History, found: Mapping[str, float]) -> Diagnosis:
    """Judge a training loss without validation for what it can show, without the model.

    A loss that was lost or rose far is unstable; one that hardly moved does not learn. Whether a
    falling one carries over to new data, nobody can tell.
    """
    settle = "Log the validation loss too: it tells whether the model carries over to new data."
    if found["lost"] or found["train_rise"] > FAR_RISE or found["train_peak"] > FAR_RISE:
        return _by_fact(history, "learning_rate_too_high", found, settle)
    if found["train_fall"] < NO_FALL:
        return _by_fact(history, "not_learning", found, settle)
    late = found["train_late_share"]
    state = "still falls" if late > STILL_FALLING else "has come to rest"
    return _undetermined(
        history, f"the training loss {state}, and there is no validation", settle=settle
    )


def _by_fact(history: History, verdict: str, found: Mapping[str, float], settle: str) -> Diagnosis:
    curves, name = curves_of(history), "train_rise" if "rate" in verdict else "train_fall"
    sure = CERTAIN if found["lost"] else FROM_TRAINING_ALONE
    text = in_words("lost" if found["lost"] else name, found, curves)
    evidence = (Evidence(name, text, 0.0),)
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


def curves_of(history: History) -> Curves:
    """Return the curves of a history as the model reads them."""

    def first(*names: str) -> np.ndarray | None:
        there = [history.curves[n] for n in names if n in history.curves]
        with_numbers = next((y for y in there if not np.all(np.isnan(y))), None)
        if with_numbers is None and there and "accuracy" not in names[0]:
            return np.full(len(there[0]), np.inf)  # recorded, and never a number
        return with_numbers

    return Curves(
        train_loss=first("train/cross_entropy", "train/loss", "train/objective"),
        val_loss=first("val/cross_entropy", "val/loss"),
        train_accuracy=first("train/accuracy"),
        val_accuracy=first("val/accuracy"),
        learning_rate=first("learning_rate"),
        num_classes=history.context.num_classes,
    )


def guarded(judged: Judged, found: Mapping[str, float]) -> Judged:
    """Put facts that need no model before it: a loss that was lost, curves that never move."""
    if found["lost"]:
        certain = (UNSTABLE, "learning_rate_too_high")
    elif _stands_still(found):
        certain = (DOES_NOT_FIT, "not_learning")
    else:
        return _not_healthy(judged) if _answers_alike(found) else judged
    before = judged.classes.get(certain, 0.0)
    if before >= CERTAIN:
        return judged
    mixed = {each: p * (1 - CERTAIN) / (1 - before) for each, p in judged.classes.items()}
    return replace(judged, classes={**mixed, certain: CERTAIN})


def _answers_alike(found: Mapping[str, float]) -> bool:
    """Whether the validation accuracy never moved, as where every answer is the largest class."""
    certain_points = found["points"] >= math.log(LEAST_POINTS_ALIKE)
    return (
        certain_points
        and found["val_accuracy_range"] < ALIKE
        and found["val_accuracy"] < NEARLY_ALL
    )


def _not_healthy(judged: Judged) -> Judged:
    """What was thought healthy has not learned."""
    alike = (DOES_NOT_FIT, "not_learning")
    moved = {each: 0.0 if each[0] == HEALTHY else p for each, p in judged.classes.items()}
    moved[alike] = moved.get(alike, 0.0) + judged.families.get(HEALTHY, 0.0)
    return replace(judged, classes=moved)


def _stands_still(found: Mapping[str, float]) -> bool:
    """Whether no curve moved after its first point, as far as curves are there."""
    moves = [
        *(abs(found[f"{p}_{name}"]) for p in ("train", "val") for name in ("late_fall", "noise")),
        *(found[f"{p}_accuracy_range"] for p in ("train", "val")),
    ]
    there = [move for move in moves if not math.isnan(move)]
    return bool(there) and max(there) < STILL


def family_said(families: Mapping[str, float]) -> str:
    """Return the family to name, or nothing where none is likely enough."""
    likeliest = max(families, key=lambda name: families[name])
    if families[HEALTHY] >= CALLS_HEALTHY:
        return HEALTHY
    return likeliest if families[likeliest] >= LEAST_FAMILY else ""


def _lacking(curves: Curves) -> tuple[str, str] | None:
    """What makes a verdict impossible, and what would help; None where one is possible."""
    losses = list(curves.losses.values())
    if not losses and not curves.accuracies:
        return "there is no loss and no accuracy", "Give one of them."
    if losses and not any(np.isfinite(y).any() for y in losses):
        return "no loss was ever a finite number", (
            "Look at the input (missing values, a loss of another range) before the settings."
        )
    points = max(int(np.sum(~np.isnan(y))) for y in (*losses, *curves.accuracies.values()))
    if points < LEAST_POINTS and not any(np.isinf(y).any() for y in losses):
        number = "is one point" if points == 1 else f"are {points} points"
        return f"there {number} in each curve", f"Give {LEAST_POINTS} points at least."
    return None


def _undetermined(history: History, reason: str, *, settle: str) -> Diagnosis:
    return Diagnosis(
        name=history.name, verdict=UNDETERMINED, confidence=0.0, ranked=(), reason=reason,
        findings=(), follow=(), undecided=(), ruled_out=(), not_run=(), told_by="shape",
        settle=settle,
    )  # fmt: skip


def _open(
    history: History, curves: Curves, judged: Judged, likely: tuple[Likely, ...]
) -> Diagnosis:
    first, second = (each.verdict.replace("_", " ") for each in likely[:2])
    return Diagnosis(
        name=history.name, verdict=UNDETERMINED, confidence=likely[0].probability,
        ranked=tuple(each.verdict for each in likely),
        reason=f"the curves fit {first} and {second} nearly alike",
        findings=(), follow=(), undecided=(), ruled_out=(), not_run=(), told_by="shape",
        likely=likely, notes=_notes(judged), settle=_settle(curves, likely),
    )  # fmt: skip


def _likely(probabilities: Mapping[str, float]) -> tuple[Likely, ...]:
    order = sorted(probabilities.items(), key=lambda pair: -pair[1])
    return tuple(Likely(verdict, probability) for verdict, probability in order)


def _evidence(
    judged: Judged, found: Mapping[str, float], curves: Curves, named: Class
) -> tuple[Evidence, ...]:
    """The numbers that speak most for a verdict, each once in words."""
    chosen: list[Evidence] = []
    for name, weight in judged.reasons(*named):
        text = in_words(name, found, curves)
        if weight > 0 and text and text not in [e.words for e in chosen]:
            chosen.append(Evidence(name, text, weight))
        if len(chosen) == NUM_REASONS:
            break
    return tuple(chosen)


def _finding(verdict: str, judged: Judged, evidence: Sequence[Evidence]) -> Finding:
    fault = fault_of(verdict)
    return Finding(
        verdict=verdict,
        probability=judged.verdicts[verdict],
        what=fault.what,
        harm=fault.harm,
        conditions=(),
        evidence=tuple(evidence),
    )


def _notes(judged: Judged) -> tuple[str, ...]:
    if judged.distance < FAR:
        return ()
    return ("These curves are unlike those that the confidence was calibrated on, so it is lower.",)


def _settle(curves: Curves, likely: Sequence[Likely]) -> str:
    """The one number that would tell the two likeliest verdicts apart."""
    first, second = likely[:2]
    if second.probability < 0.15:
        return ""
    if curves.val_loss is None and curves.val_accuracy is None:
        return "Log the validation loss too."
    if curves.train_loss is None:
        return "Log the training loss too."
    return _TELLS.get(frozenset((first.verdict, second.verdict)), "")


_TELLS: Mapping[frozenset[str], str] = {
    frozenset(pair): text
    for pair, text in (
        (("underfitting", HEALTHY), "A larger network for the same time tells: does the training "
         "loss fall further?"),
        (("undertrained", HEALTHY), "A few more epochs tell: does the validation loss still fall?"),
        (("overfitting", HEALTHY), "The lowest validation loss with more dropout or more data "
         "tells."),
        (("label_noise", "overfitting"), "Measure the training accuracy in evaluation mode at the "
         "best epoch: below that of validation it speaks for wrong labels."),
        (("label_noise", "underfitting"), "Measure the training accuracy in evaluation mode at the "
         "best epoch: below that of validation it speaks for wrong labels."),
        (("learning_rate_too_low", "undertrained"), "Ten times the learning rate for a few epochs "
         "tells."),
        (("learning_rate_too_low", "not_learning"), "Ten times the learning rate for a few epochs "
         "tells."),
        (("learning_rate_too_high", "not_learning"), "A tenth of the learning rate tells."),
        (("learning_rate_too_high", HEALTHY), "A tenth of the learning rate tells."),
        (("learning_rate_too_high", "underfitting"), "A tenth of the learning rate tells."),
        (("underfitting", "undertrained"), "A few more epochs tell: does the training loss still "
         "fall?"),
    )
}  # fmt: skip
