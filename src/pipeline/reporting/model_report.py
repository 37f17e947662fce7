"""What the report knows about one model: plain values, gathered by whoever calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.records import EpochRecord, Estimate


@dataclass(frozen=True)
class GeneralizationRow:
    """Accuracy on images of another kind than those that were trained on.

    name: of the other data set, or of the corruption.  severity: 1 … 5 of a corruption; 0 is the clean
    test set itself; None for another data set.
    """

    name: str
    severity: int | None
    accuracy: Estimate


@dataclass(frozen=True)
class Evidence:
    """One number of a diagnosis against its limit. low, high: its 95 % interval; value None: not finite.

    wanted: above or below.  epochs: first and last, 1-based, where the number comes from.
    """

    what: str
    value: float | None
    low: float | None
    high: float | None
    limit: float
    wanted: str
    unit: str = ""
    epochs: tuple[int, int] | None = None


@dataclass(frozen=True)
class WayOut:
    """A remedy. command: the whole line to type."""

    name: str
    why: str
    command: str


@dataclass(frozen=True)
class VerdictReport:
    """What the diagnosis says. what, harm: of the fault, a sentence each; empty where there is none.

    confidence: 0 … 1.  reason: why nothing could be determined.  undecided: verdicts that neither stand nor
    fall.  not_run: verdict → what its rule lacked.  verify: the line that would prove a remedy; empty where
    that is done.
    """

    verdict: str
    confidence: float
    what: str = ""
    harm: str = ""
    reason: str = ""
    evidence: Sequence[Evidence] = ()
    ways: Sequence[WayOut] = ()
    verify: str = ""
    undecided: Sequence[str] = ()
    not_run: Mapping[str, str] = field(default_factory=dict)

    @property
    def decided(self) -> tuple[tuple[int, int], ...]:
        """The epochs that the evidence comes from."""
        return tuple(e.epochs for e in self.evidence if e.epochs)


@dataclass(frozen=True)
class ArmRow:
    """One arm of a verification, or a control. change: share by which the validation loss falls.

    verdict: confirmed, not confirmed, harmful, control.  p_value: adjusted.  symptom: share of its runs that
    still get the verdict.  seeds_needed: about how many would decide it.
    """

    name: str
    change: Estimate
    verdict: str
    p_value: float | None = None
    symptom: float | None = None
    seeds_needed: int | None = None


@dataclass(frozen=True)
class ProofReport:
    """What a verification has found. proved: the remedy and what it gains, in a few words.

    command: trains the proved configuration.  Both are empty where nothing was proved.
    """

    sentence: str
    rows: Sequence[ArmRow]
    proved: str = ""
    command: str = ""


@dataclass(frozen=True)
class HealingStep:
    """One round. adopted: the remedy, empty where none was proved.  overrides: its settings."""

    verdict: str
    confidence: float
    adopted: str
    overrides: str
    proof: str


@dataclass(frozen=True)
class HealingReport:
    """A chain of rounds. end: why it stopped.  verdict: of the configuration as it is now."""

    steps: Sequence[HealingStep]
    end: str
    verdict: str
    command: str = ""


@dataclass(frozen=True)
class ModelReport:
    """One model in the report; whatever is empty is left out of it.

    metrics: as ``evaluation.flatten`` names them (``test/accuracy``, ``test/accuracy_low``, …), with
    ``model/num_parameters`` and ``train/duration_s`` where known.
    pictures: file stem → PNG; those of `pipeline.reporting.pictures` have their place, others follow under
    their own name.  narrow_pictures: the same drawn for a narrow screen, for those stems that have one.
    confusions: (true class, predicted class, count), the most frequent first.
    settings: dotted key → value as text.  commands: shell lines that make the model again, in order.
    """

    name: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    history: Sequence[EpochRecord] = ()
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    narrow_pictures: Mapping[str, bytes] = field(default_factory=dict)
    confusions: Sequence[tuple[str, str, int]] = ()
    generalization: Sequence[GeneralizationRow] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ()
    diagnosis: VerdictReport | None = None
    proof: ProofReport | None = None
    healing: HealingReport | None = None
