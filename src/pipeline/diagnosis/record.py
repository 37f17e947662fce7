"""The written form of a diagnosis: what ``diagnosis.json`` holds, and what other rooms draw.

`pipeline.files.write_record` and `read_record` turn these classes into JSON and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import PlainSerializer

from pipeline.files import Number

HEALTHY, UNDETERMINED = "healthy", "undetermined"
# A finding stands from the first probability on, and falls below the second.
STANDS, FALLS = 0.6, 0.4

# Every verdict belongs to a family: what a person sees in the curves, before the cause is known.
FITS_AND_FAILS, DOES_NOT_FIT = "fits_and_fails", "does_not_fit"
STOPPED_TOO_EARLY, UNSTABLE = "stopped_too_early", "unstable"
FAMILIES: Mapping[str, str] = {
    HEALTHY: HEALTHY,
    "overfitting": FITS_AND_FAILS,
    "label_noise": FITS_AND_FAILS,
    "undertrained": STOPPED_TOO_EARLY,
    "underfitting": DOES_NOT_FIT,
    "over_regularized": DOES_NOT_FIT,
    "learning_rate_too_low": DOES_NOT_FIT,
    "not_learning": DOES_NOT_FIT,
    "dead_units": DOES_NOT_FIT,
    "vanishing_gradients": DOES_NOT_FIT,
    "learning_rate_too_high": UNSTABLE,
    "exploding_gradients": UNSTABLE,
}
FAMILY_WORDS: Mapping[str, str] = {
    HEALTHY: "it learns and carries over to new data",
    FITS_AND_FAILS: "it fits its training data and fails on new data",
    DOES_NOT_FIT: "it does not fit its training data",
    STOPPED_TOO_EARLY: "it was stopped too early",
    UNSTABLE: "its training is unstable",
}

# Files show four digits of a probability and three of odds; what is computed keeps them all.
Probability = Annotated[float, PlainSerializer(lambda value: round(value, 4))]
Odds = Annotated[float, PlainSerializer(lambda value: round(value, 3))]
Span = tuple[int, int]
Part = Literal["train", "val"]
SHARE = "share"  # the unit of what people read in percent


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One measured number against its limit.

    key: stable name of the number, such as ``val_loss_rise``.  what: the same in words, for people.
    value, low, high: the number with its 95 % interval; NaN or infinite where the loss was.
    unit: written after the number; of a `SHARE` the number is 0.23 where people read 23 %.
    probability: that the true number lies on the wanted side of the limit, 0 … 1.
    epochs: first and last epoch (1-based) that the number comes from.
    """

    key: str = ""
    what: str
    value: Number
    low: Number
    high: Number
    unit: str = ""
    wanted: Literal["above", "below"]
    limit: float
    probability: Probability
    epochs: Span | None = None


@dataclass(frozen=True)
class Remedy:
    """One change of the settings. overrides: in Hydra's grammar, to be added to those of the run.

    cost: about how many times as long as the run itself a run with it takes.
    """

    name: str
    overrides: tuple[str, ...]
    why: str
    cost: float = 1.0


@dataclass(frozen=True)
class Evidence:
    """One number of the curves' shape in words, and how much it speaks for a verdict.

    weight: what it adds to the logarithm of the verdict's odds against the other verdicts.
    """

    key: str
    words: str
    weight: Odds


@dataclass(frozen=True)
class Likely:
    """One possible verdict."""

    verdict: str
    probability: Probability


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One fault with its evidence: conditions of its rule, or evidence of the curves' shape.

    probability: 0 … 1; as far as the weakest condition holds, or as probes have changed it.
    what, harm: one sentence each, from the fault's card.
    remedies: best first; only for a cause, and only where the run's settings are known.
    """

    verdict: str
    probability: Probability
    what: str
    harm: str
    conditions: tuple[Condition, ...]
    evidence: tuple[Evidence, ...] = ()
    remedies: tuple[Remedy, ...] = ()


@dataclass(frozen=True)
class NotRun:
    """A fault that could not be judged. missing: the number that it needs."""

    verdict: str
    missing: str


@dataclass(frozen=True, kw_only=True)
class ProbeEvidence:
    """Conditions of one probe that hold more likely than not, for or against a verdict.

    odds: the factor on the odds of the verdict, see `pipeline.diagnosis.probes.evidence`.
    """

    verdict: str
    points: Literal["for", "against"]
    odds: Odds
    conditions: tuple[Condition, ...]

    @property
    def probability(self) -> float:
        """The probability that all conditions hold, that of the weakest: 0.5 … 1."""
        return min(c.probability for c in self.conditions)


@dataclass(frozen=True)
class Change:
    """A verdict's probability before the probes (None: its fault was not judged) and after them."""

    verdict: str
    before: Probability | None
    after: Probability


@dataclass(frozen=True, kw_only=True)
class ProbedVerdict:
    """How the evidence of probes changed a diagnosis by curves. changes: one for each evidence."""

    verdict_by_curves: str
    confidence_by_curves: Probability
    verdict: str
    confidence: Probability
    evidence: tuple[ProbeEvidence, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """The verdict on a run, with everything that led to it.

    verdict: a fault's, `HEALTHY` or `UNDETERMINED`.  confidence: 0 … 1.
    ranked: verdicts from the most to the least likely.
    reason: why nothing could be determined; empty otherwise.
    findings: faults that stand and are causes; the first one gives the verdict.
    follow: faults that stand and that a cause explains.  undecided: faults that neither stand nor
    fall.  ruled_out: the other faults.  probes: None without probes.
    remedies: worth a try although nothing could be determined; empty with any other verdict.

    A verdict from curves alone (``told_by`` shape) has more, and no conditions:
    family: of `FAMILIES`; empty where nothing could be determined. It can be certain although the
    verdict is not: a loss that was never finite.  family_confidence: 0 … 1.
    likely: every verdict with its probability, the likeliest first.
    evidence: what speaks for the verdict, the strongest first.
    notes: how far the curves lie from those that the confidence was calibrated on, and the like.
    settle: what to give or do, so that an open question closes; empty where none is open.
    """

    version: Literal[1, 2] = 2
    name: str
    verdict: str
    confidence: Probability
    ranked: tuple[str, ...]
    reason: str = ""
    findings: tuple[Finding, ...]
    follow: tuple[Finding, ...]
    undecided: tuple[Finding, ...]
    ruled_out: tuple[Finding, ...]
    not_run: tuple[NotRun, ...]
    remedies: tuple[Remedy, ...] = ()
    probes: ProbedVerdict | None = None
    told_by: Literal["rules", "shape"] = "rules"
    family: str = ""
    family_confidence: Probability = 0.0
    likely: tuple[Likely, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    notes: tuple[str, ...] = ()
    settle: str = ""

    @property
    def offered(self) -> tuple[Remedy, ...]:
        """What to try, best first: against the fault of the verdict, or without a verdict."""
        return self.findings[0].remedies if self.findings else self.remedies

    @property
    def in_words(self) -> str:
        """The verdict with its confidence; an open one has none."""
        words = self.verdict.replace("_", " ")
        if self.verdict == UNDETERMINED:
            return f"{words} ({FAMILY_WORDS[self.family]})" if self.family else words
        return f"{words} (confidence {self.confidence:.2f})"
