"""From a diagnosis by curves and the evidence of probes to a settled one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.diagnosis.finding import Finding
from pipeline.diagnosis.probes import capacity, longer, one_batch, rate
from pipeline.diagnosis.probes.evidence import Evidence
from pipeline.diagnosis.probes.outcome import Outcome
from pipeline.diagnosis.verdict import Diagnosis, conclude


@dataclass(frozen=True)
class Change:
    """A verdict's probability before the probes (None: its rule could not run) and after them."""

    verdict: str
    before: float | None
    after: float


@dataclass(frozen=True)
class Settled:
    """What the curves said, what the probes add, and what follows from both."""

    before: Diagnosis
    after: Diagnosis
    evidence: tuple[Evidence, ...]
    changes: tuple[Change, ...]


def evidence_of(outcome: Outcome) -> tuple[Evidence, ...]:
    """Ask every probe; of a network that cannot learn at all, forks say nothing about rate, length or width."""
    stuck = one_batch.judge(outcome)
    if stuck:
        return tuple(stuck)
    return (*longer.judge(outcome), *rate.judge(outcome), *capacity.judge(outcome))


def settle(found: Diagnosis, evidence: Sequence[Evidence]) -> Settled:
    """Weigh the probes' evidence into the findings, and conclude again.

    The odds of each finding are multiplied by those of the evidence, which `MOST_ODDS` bounds: what is open
    (0.4 to 0.6) is decided, what was clear (above 0.86, below 0.14) stays on its side. A rule that could
    not run starts from even odds.
    """
    every = {f.verdict: f for f in (*found.findings, *found.follow, *found.open, *found.ruled_out)}
    changes = []
    for e in evidence:
        known = every.get(e.verdict)
        start = known.probability if known else 0.5
        after = _multiplied(start, e.odds)
        own = known.conditions if known else ()
        every[e.verdict] = Finding(e.verdict, (*own, *e.conditions), probed=after)
        changes.append(Change(e.verdict, start if known else None, after))
    left = [(verdict, missing) for verdict, missing in found.not_run if verdict not in every]
    return Settled(found, conclude(every, left, name=found.name), tuple(evidence), tuple(changes))


def _multiplied(probability: float, odds: float) -> float:
    return odds * probability / (odds * probability + 1 - probability)
