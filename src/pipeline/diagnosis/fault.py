"""The card that every fault carries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.diagnosis.measured import Claim, Unmeasured, probability
from pipeline.diagnosis.measured_run import MeasuredRun
from pipeline.diagnosis.record import Condition, Finding, Remedy
from pipeline.diagnosis.remedies import Settings


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that can be wrong with a training: its card, its judgement and its remedies.

    verdict: its name.  rank: causes have a lower rank than their consequences; unique.
    what, harm, decides, fails, source: sentences for people. They say what the fault is, why it
    harms, how it is judged, where the judgement is known to fail, and where the idea comes from.
    explains: verdicts that this fault brings about.  explained_by: verdicts of a lower rank that
    bring it about. One of the two cards is enough.
    judge: the conditions of a run; `Unmeasured` where the history lacks a number.
    least_epochs: the shortest history that can show the fault; a shorter one is not judged.
    remedies: what to change in a run's settings, best first; the finding holds the numbers.

    Example, in ``faults/loss_spike.py``::

        def judge(run: MeasuredRun) -> Claim:
            return train_loss_roughness(run).above(0.05, grey=0.35)

        def remedies(settings: Settings, finding: Finding) -> Iterator[Remedy]:
            yield clip(settings)

        FAULT = Fault(verdict="loss_spike", rank=45, judge=judge, remedies=remedies, ...)
    """

    verdict: str
    rank: int
    what: str
    harm: str
    decides: str
    fails: str
    source: str
    explains: frozenset[str] = frozenset()
    explained_by: frozenset[str] = frozenset()
    judge: Callable[[MeasuredRun], Claim]
    least_epochs: int = 1
    remedies: Callable[[Settings, Finding], Iterator[Remedy]]

    def brings_about(self, other: Fault) -> bool:
        """Return whether the other fault is a consequence of this one, by either card."""
        return other.verdict in self.explains or self.verdict in other.explained_by

    def judged(self, run: MeasuredRun) -> Finding | Unmeasured:
        """Judge a run; return the finding, of any probability, or the number that is lacking."""
        if run.num_epochs < self.least_epochs:
            return Unmeasured(run.loss_without_numbers or f"{self.least_epochs} epochs")
        claim = self.judge(run)
        return claim if isinstance(claim, Unmeasured) else self.finding(claim)

    def finding(self, conditions: tuple[Condition, ...], *, holds: float | None = None) -> Finding:
        """Return these conditions as a finding. holds: its probability; None: the weakest one's."""
        return Finding(
            verdict=self.verdict,
            probability=probability(conditions) if holds is None else holds,
            what=self.what,
            harm=self.harm,
            conditions=conditions,
        )
