"""From a diagnosis by curves and the evidence of probes to a settled one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.diagnosis.faults import fault_of
from pipeline.diagnosis.open_verdict import without_repetition
from pipeline.diagnosis.probes import capacity, longer, one_batch, rate
from pipeline.diagnosis.probes.outcome import Outcome
from pipeline.diagnosis.record import (
    UNDETERMINED,
    Change,
    Diagnosis,
    ProbedVerdict,
    ProbeEvidence,
)
from pipeline.diagnosis.remedies import Settings
from pipeline.diagnosis.verdict import conclude


def evidence_of(outcome: Outcome) -> tuple[ProbeEvidence, ...]:
    """Judge every probe.

    Where the network cannot learn even one batch, the forks are no evidence on rate or width.
    """
    stuck = one_batch.judge(outcome)
    if stuck:
        return tuple(stuck)
    return (*longer.judge(outcome), *rate.judge(outcome), *capacity.judge(outcome))


def settle(
    by_curves: Diagnosis, evidence: Sequence[ProbeEvidence], *, settings: Settings
) -> Diagnosis:
    """Weigh the probes' evidence into the findings, and conclude again.

    The odds of each finding are multiplied by those of the evidence, which `MOST_ODDS` bounds. So a
    probability of 0.4 to 0.6 is decided, and one above 0.9 or below 0.1 stays on its side. A fault
    that could not be judged starts from even odds.  settings: of the run, for the remedies.
    """
    judged = {
        f.verdict: f
        for group in (
            by_curves.findings,
            by_curves.follow,
            by_curves.undecided,
            by_curves.ruled_out,
        )
        for f in group
    }
    changes = []
    for e in evidence:
        known = judged.get(e.verdict)
        start = known.probability if known else 0.5
        after = _multiplied(start, e.odds)
        own = known.conditions if known else ()
        fault = fault_of(e.verdict)
        judged[e.verdict] = fault.finding((*own, *e.conditions), holds=after)
        changes.append(Change(e.verdict, start if known else None, after))
    left = [n for n in by_curves.not_run if n.verdict not in judged]
    settled = conclude(judged, left, name=by_curves.name, settings=settings)
    probes = ProbedVerdict(
        verdict_by_curves=by_curves.verdict,
        confidence_by_curves=by_curves.confidence,
        verdict=settled.verdict,
        confidence=settled.confidence,
        evidence=tuple(evidence),
        changes=tuple(changes),
    )
    if settled.verdict != UNDETERMINED:
        return replace(settled, probes=probes)
    offered = without_repetition([*by_curves.remedies, *settled.remedies])
    return replace(settled, probes=probes, remedies=offered)


def _multiplied(probability: float, odds: float) -> float:
    return odds * probability / (odds * probability + 1 - probability)
