"""The verdict on curves alone: guards that need no model, then the fitted model, then words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pipeline.diagnosis.faults import fault_of
from pipeline.diagnosis.history import History
from pipeline.diagnosis.learned import lost
from pipeline.diagnosis.learned.facts import guarded_at_end
from pipeline.diagnosis.learned.model import Class, Judged, fitted
from pipeline.diagnosis.learned.numbers import Curves, numbers
from pipeline.diagnosis.learned.perfect import all_perfect
from pipeline.diagnosis.learned.sentences import in_words
from pipeline.diagnosis.learned.without_model import (
    by_fact,
    lost_at_once,
    nothing_left,
    settle_alone,
    training_alone,
    undetermined,
)
from pipeline.diagnosis.record import (
    FAMILY_WORDS,
    HEALTHY,
    UNDETERMINED,
    Diagnosis,
    Evidence,
    Finding,
    Likely,
)

LEAST_POINTS = 3
NUM_REASONS = 3
TINY = 1e-12
# From this distance on, a note says that the curves are unlike those of the corpus.
FAR = 0.5


def by_shape(history: History) -> Diagnosis:
    """Judge the shape of a history's curves; no setting and no signal is needed."""
    curves = curves_of(history)
    lacking = _lacking(curves)
    if lacking:
        return undetermined(history, lacking[0], settle=lacking[1])
    if never_finite(curves):
        return lost_at_once(history.name)
    found = numbers(curves)
    if found["lost"]:
        return by_fact(history, curves, "learning_rate_too_high", found, settle_alone(curves))
    losses, curves = curves.losses, without_broken(curves)
    if all_perfect(curves.losses, curves.accuracies):
        return nothing_left(history)
    if curves.val_loss is None and curves.val_accuracy is None:
        return _with_lost(training_alone(history, curves, found), losses, history)
    judged = guarded_at_end(fitted().judge(found), found)
    likely, families = _likely(judged.verdicts), judged.families
    family = family_said(families)
    if not family:
        return _with_lost(_open(history, curves, judged, likely), losses, history)
    within = judged.within(family)
    verdict = max(within, key=lambda each: within[each])
    evidence = _evidence(judged, found, curves, (family, verdict))
    diagnosis = Diagnosis(
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
        notes=(*_doubts(families, family), *_notes(judged)),
        settle=_settle(curves, likely),
    )
    return _with_lost(diagnosis, losses, history)


def curves_of(history: History) -> Curves:
    """Return the curves of a history as the model reads them."""

    def first(*names: str) -> np.ndarray | None:
        there = [history.curves[n] for n in names if n in history.curves]
        with_numbers = next((y for y in there if not np.all(np.isnan(y))), None)
        if with_numbers is None and there and "accuracy" not in names[0]:
            return there[0]  # recorded, and never a number
        return with_numbers

    losses = {
        "train": first("train/cross_entropy", "train/loss", "train/objective"),
        "val": first("val/cross_entropy", "val/loss"),
    }
    marked = lost.marked({part: y for part, y in losses.items() if y is not None})
    return Curves(
        train_loss=marked.get("train"),
        val_loss=marked.get("val"),
        train_accuracy=first("train/accuracy"),
        val_accuracy=first("val/accuracy"),
        learning_rate=first("learning_rate"),
        num_classes=history.context.num_classes,
    )


def family_said(families: Mapping[str, float], limits: Mapping[str, float] | None = None) -> str:
    """Return the family to name, or nothing where none is likely enough.

    The likeliest fault is named where it is likely enough against health alone: whichever fault it
    is, that is no false alarm. Else health is named from a low limit on.

    limits: family → the least probability; None for those that come with the package.
    """
    limits = fitted().limits if limits is None else limits
    sick = max(families.keys() - {HEALTHY}, key=lambda name: families[name])
    against_health = families[sick] / max(families[sick] + families[HEALTHY], TINY)
    if against_health >= limits[sick]:
        return sick
    return HEALTHY if families[HEALTHY] >= limits[HEALTHY] else ""


def _lacking(curves: Curves) -> tuple[str, str] | None:
    """What makes a verdict impossible, and what would help; None where one is possible."""
    losses = list(curves.losses.values())
    if not losses and not curves.accuracies:
        return "there is no loss and no accuracy", "Give one of them."
    points = max(int(np.sum(np.isfinite(y))) for y in (*losses, *curves.accuracies.values()))
    if points < LEAST_POINTS and not lost.is_lost(curves.losses):
        number = "is one point" if points == 1 else f"are {points} points"
        return f"there {number} in each curve", f"Give {LEAST_POINTS} points at least."
    return None


def never_finite(curves: Curves) -> bool:
    """Return whether losses were recorded, and none was ever a finite number."""
    losses = curves.losses.values()
    return bool(losses) and not any(np.isfinite(y).any() for y in losses)


def without_broken(curves: Curves) -> Curves:
    """Leave out a loss that never was finite."""
    finite = {part for part, y in curves.losses.items() if np.isfinite(y).any()}
    return replace(
        curves,
        train_loss=curves.train_loss if "train" in finite else None,
        val_loss=curves.val_loss if "val" in finite else None,
    )


def _with_lost(found: Diagnosis, losses: Mapping[str, np.ndarray], history: History) -> Diagnosis:
    """Put first where a loss was no number, which the numbers of the model do not see."""
    told = lost.evidence(losses, history)
    if not told:
        return found
    advice = lost.advice(losses)
    if advice and found.verdict == UNDETERMINED:
        found = replace(found, settle=advice)
    elif advice:
        found = replace(found, notes=(*found.notes, advice))
    evidence = (*told, *found.evidence)[:NUM_REASONS]
    findings = tuple(replace(each, evidence=evidence) for each in found.findings)
    return replace(found, evidence=evidence, findings=findings)


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


def _doubts(families: Mapping[str, float], said: str) -> tuple[str, ...]:
    """Why a run is called healthy although a fault is likelier, yet not likely enough."""
    likeliest = max(families, key=lambda name: families[name])
    if said != HEALTHY or likeliest == HEALTHY:
        return ()
    return (
        f"By itself it is likelier that {FAMILY_WORDS[likeliest]} ({families[likeliest]:.2f}).",
        "A sound run looks so too where nobody can know some answers: no alarm without more.",
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
