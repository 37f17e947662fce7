"""The card that every rule of diagnosis carries, and the shape that all rules have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.diagnosis.finding import Finding
from pipeline.diagnosis.measures import Measures


@dataclass(frozen=True)
class Rule:
    """One fault, and how it is recognised.

    verdict: its name.  what, harm, decides, fails, source: sentences for people: what it is, why it
    harms, how the rule decides, where the rule is known to fail, where the idea comes from.
    explains: verdicts whose symptoms this fault brings about; where both are found, this one is the cause.
    judge: raises `Missing` where the history lacks what the rule needs.
    """

    verdict: str
    what: str
    harm: str
    decides: str
    fails: str
    source: str
    explains: frozenset[str]
    judge: Callable[[Measures], Finding]
