"""From the findings of all faults to one verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.diagnosis.calibration import widened
from pipeline.diagnosis.fault import Fault
from pipeline.diagnosis.faults import FAULTS
from pipeline.diagnosis.history import History
from pipeline.diagnosis.learned.verdict import by_shape, curves_of, never_finite
from pipeline.diagnosis.learned.without_model import lost_at_once
from pipeline.diagnosis.measured import Unmeasured
from pipeline.diagnosis.measured_run import MeasuredRun
from pipeline.diagnosis.open_verdict import of_open_faults, without_repetition, worth_trying
from pipeline.diagnosis.record import (
    FALLS,
    FAMILIES,
    HEALTHY,
    STANDS,
    UNDETERMINED,
    Diagnosis,
    Finding,
    NotRun,
)
from pipeline.diagnosis.remedies import Settings, works_on_own_module

# A run can be called healthy only where these faults could be judged.
NEEDED_FOR_HEALTHY = ("overfitting", "undertrained", "underfitting")


def diagnose(history: History) -> Diagnosis:
    """Judge a history: by the rules of all faults, or by the shape of its curves.

    The rules need what a run of our own has: signals, or the baselines of its data card. Curves
    alone are judged by their shape (`pipeline.diagnosis.learned`).
    """
    if history.signals is None and not history.context.baselines:
        return by_shape(history)
    return by_rules(history)


def by_rules(history: History) -> Diagnosis:
    """Judge a history by all faults that its numbers allow; see `conclude`."""
    run = MeasuredRun(history)
    judged: dict[str, Finding] = {}
    not_run: list[NotRun] = []
    for fault in FAULTS:
        finding = fault.judged(run)
        if isinstance(finding, Unmeasured):
            not_run.append(NotRun(fault.verdict, finding.needs))
        else:
            judged[fault.verdict] = finding
    found = conclude(
        judged,
        not_run,
        name=history.name,
        settings=history.context.settings,
        trains_itself=history.context.trains_itself,
    )
    found = beside_baselines(found, run)
    if found.verdict == UNDETERMINED:
        found = with_lost_loss(found, run)
    if found.verdict == UNDETERMINED:
        offered = without_repetition([*worth_trying(run), *found.remedies])
        found = replace(found, remedies=offered)
    return told(found, history)


def told(found: Diagnosis, history: History) -> Diagnosis:
    """Return a diagnosis with the confidence that it deserves on a run like this one."""
    confidence, notes = widened(found.confidence, history)
    family_confidence = confidence if found.family else 0.0
    return replace(
        found,
        confidence=confidence,
        family_confidence=family_confidence,
        notes=(*found.notes, *notes),
    )


def with_lost_loss(found: Diagnosis, run: MeasuredRun) -> Diagnosis:
    """Say of an open verdict that the run is unstable, where no loss was ever a finite number.

    A loss that was none before the first step either is no fault of the steps: the input is broken.
    """
    if not never_finite(curves_of(run.history)):
        return found
    if run.began_broken:
        return replace(
            found, reason="the loss was no finite number before the first step",
            settle="Look at the input (missing values) and at the loss (log(0), half precision).",
        )  # fmt: skip
    told = lost_at_once(found.name)
    return replace(
        found, confidence=told.confidence, reason=told.reason, family=told.family,
        family_confidence=told.family_confidence, likely=told.likely, settle=told.settle,
    )  # fmt: skip


def beside_baselines(found: Diagnosis, run: MeasuredRun) -> Diagnosis:
    """Compare a healthy run with the cheap baselines of its data card.

    A run that none of them leaves behind stays as it is. One that loses to the best of them gets a
    note. One that loses to all of them is not healthy, though no rule says why.
    """
    if found.verdict != HEALTHY or not run.history.context.baselines:
        return found
    loss = float(run.val_loss[run.kept])
    better = {
        name.replace("_", " "): loss / baseline.cross_entropy
        for name, baseline in run.history.context.baselines.items()
        if loss >= baseline.cross_entropy
    }
    if not better:
        return found
    beaten = " and ".join(f"{ratio:.2f} times that of {name}" for name, ratio in better.items())
    settle = "A larger network or a longer training tells whether the data allows more."
    if len(better) < len(run.history.context.baselines):
        return replace(found, notes=(*found.notes, f"The validation loss is {beaten}. {settle}"))
    return replace(
        found, verdict=UNDETERMINED, confidence=0.0, family="", settle=settle,
        reason=f"no rule finds a fault, but the validation loss is {beaten}, cheap baselines",
        ranked=tuple(v for v in found.ranked if v != HEALTHY),
    )  # fmt: skip


def conclude(
    judged: Mapping[str, Finding],
    not_run: Sequence[NotRun],
    *,
    name: str,
    settings: Settings,
    trains_itself: bool = False,
) -> Diagnosis:
    """Make one verdict of the findings of all faults.

    A finding stands from a probability of 0.6 on. A standing finding is a consequence where another
    standing one brings it about, else a cause. The first cause gives the verdict. Without a cause
    the run is healthy if no fault is undecided and `NEEDED_FOR_HEALTHY` could be judged; else it is
    undetermined.

    judged: verdict → finding, of any probability.
    settings: of the run, for the remedies; empty where they are not known: then there are none.
    trains_itself: whether the network has its own loss and optimizer, which no setting changes.
    """
    standing = _standing(judged)
    causes = _causes(standing)
    undecided = _undecided(judged, standing)
    ruled_out = [f for f in FAULTS if f.verdict in judged and f not in (*standing, *undecided)]
    verdict, confidence, reason = _verdict(judged, causes, undecided, not_run)
    return Diagnosis(
        name=name,
        verdict=verdict,
        confidence=confidence,
        ranked=_ranked(verdict, judged),
        reason=reason,
        findings=tuple(
            _with_remedies(cause, judged, settings, trains_itself=trains_itself) for cause in causes
        ),
        follow=tuple(judged[f.verdict] for f in standing if f not in causes),
        undecided=tuple(judged[f.verdict] for f in undecided),
        ruled_out=tuple(judged[f.verdict] for f in ruled_out),
        not_run=tuple(not_run),
        remedies=of_open_faults(undecided, judged, settings, trains_itself=trains_itself)
        if verdict == UNDETERMINED
        else (),
        family=FAMILIES.get(verdict, ""),
        family_confidence=confidence if verdict in FAMILIES else 0.0,
    )


def _with_remedies(
    cause: Fault, judged: Mapping[str, Finding], settings: Settings, *, trains_itself: bool
) -> Finding:
    finding = judged[cause.verdict]
    offered = cause.remedies(settings, finding) if settings else ()
    kept = [r for r in offered if not trains_itself or works_on_own_module(r)]
    return replace(finding, remedies=tuple(kept))


def _verdict(
    judged: Mapping[str, Finding],
    causes: Sequence[Fault],
    undecided: Sequence[Fault],
    not_run: Sequence[NotRun],
) -> tuple[str, float, str]:
    """The verdict, its confidence, and the reason where it is undetermined."""
    if causes:
        first = judged[causes[0].verdict]
        return first.verdict, first.probability, ""
    confidence = 1 - max((f.probability for f in judged.values()), default=0.0)
    if undecided:
        names = ", ".join(fault.verdict.replace("_", " ") for fault in undecided)
        return UNDETERMINED, confidence, f"{names}: too close to the limit to decide"
    lacking = [verdict for verdict in NEEDED_FOR_HEALTHY if verdict not in judged]
    if lacking:
        missing = next(n.missing for n in not_run if n.verdict == lacking[0])
        reason = f"{', '.join(lacking)} could not be judged: {missing} is missing"
        return UNDETERMINED, confidence, reason
    return HEALTHY, confidence, ""


def _standing(judged: Mapping[str, Finding]) -> list[Fault]:
    """Faults whose finding stands, causes before consequences."""
    there = [fault for fault in FAULTS if fault.verdict in judged]
    return [fault for fault in there if judged[fault.verdict].probability >= STANDS]


def _causes(standing: Sequence[Fault]) -> list[Fault]:
    """Standing faults that no earlier cause brings about: of two that do so mutually, the first."""
    causes: list[Fault] = []
    for fault in standing:
        if not any(cause.brings_about(fault) for cause in causes):
            causes.append(fault)
    return causes


def _undecided(judged: Mapping[str, Finding], standing: Sequence[Fault]) -> list[Fault]:
    """Faults that neither stand nor fall and that no standing one brings about, likeliest first."""
    between = [
        fault
        for fault in FAULTS
        if fault.verdict in judged and FALLS < judged[fault.verdict].probability < STANDS
    ]
    unexplained = [f for f in between if not any(s.brings_about(f) for s in standing)]
    return sorted(unexplained, key=lambda fault: -judged[fault.verdict].probability)


def _ranked(first: str, judged: Mapping[str, Finding]) -> tuple[str, ...]:
    """Verdicts in the order in which they would be given if each one before were ruled out.

    So a consequence comes right after its cause. Once nothing stands any more, `HEALTHY` comes
    before the first fault whose probability is below one half.
    """
    ranked = [first]
    left = {verdict: f for verdict, f in judged.items() if verdict != first}
    while left:
        standing = _standing(left)
        if standing:
            likeliest = left[standing[0].verdict]
        else:
            likeliest = max(left.values(), key=lambda finding: finding.probability)
        if likeliest.probability < 0.5 and HEALTHY not in ranked:
            ranked.append(HEALTHY)
        ranked.append(likeliest.verdict)
        del left[likeliest.verdict]
    return tuple(dict.fromkeys([*ranked, HEALTHY]))
