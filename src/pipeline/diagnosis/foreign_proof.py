"""The written form of a verification of a command that is not ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.records import Estimate

ACCEPT, REJECT, UNDECIDED = "accept", "reject", "undecided"
RATIO, DIFFERENCE = "ratio", "difference"


@dataclass(frozen=True)
class ForeignArm:
    """One remedy, as judged.

    settings: all placeholders but the seed.  values: ``[n]``, in the order of the seeds.
    improvement: of the metric in the direction of its goal, against the unchanged command; relative
    for the scale ``ratio``, in the metric's unit for ``difference``. Its interval is corrected for
    the number of arms.  verdict, p_value, seeds_needed: as in
    `pipeline.diagnosis.paired_trials.Judged`.
    """

    name: str
    settings: Mapping[str, str]
    verdict: str
    improvement: Estimate
    p_value: float
    seeds_needed: int | None
    values: tuple[float, ...]


@dataclass(frozen=True)
class ForeignProof:
    """The file ``proof.json``, and what ``output=json`` prints.

    decision: accept, reject or undecided.  sentence: the result in words.
    goal: min or max.  stop: early or fixed.  seeds: of the unchanged command, whose numbers are
    ``as_it_is``.  runs: that the judgement rests on, with those of earlier starts.
    accepted: name of the arm.  needs_seeds: about how many would decide the nearest arm.
    arms: the most helpful first.  reseed, random: what the controls change; None where a control
    was not run, and ``notes`` says why.
    """

    version: int
    name: str
    command: str
    metric: str
    goal: str
    scale: str
    stop: str
    decision: str
    sentence: str
    accepted: str | None
    needs_seeds: int | None
    seeds: int
    runs: int
    settings: Mapping[str, str]
    as_it_is: tuple[float, ...]
    arms: tuple[ForeignArm, ...]
    reseed: Estimate | None
    random: Estimate | None
    notes: tuple[str, ...]
