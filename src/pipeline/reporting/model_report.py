"""Everything that the report draws about one model: its numbers, its pictures, and its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.diagnosis.proof import Healing, Verification
from pipeline.diagnosis.record import Diagnosis, Finding
from pipeline.evaluation.generalization import GeneralizationRow
from pipeline.evaluation.results import EvaluatedOn
from pipeline.records import EpochRecord
from pipeline.reporting.remedy_command import verify_command


@dataclass(frozen=True)
class ModelReport:
    """One model in the report, which leaves out every part that is empty here.

    metrics: as ``evaluation.flatten`` names them (``test/accuracy``, ``test/accuracy_low``, …),
    with ``model/num_parameters`` and ``train/epochs`` where known.
    pictures: file stem → PNG. `pipeline.reporting.pictures` knows the place of most stems; others
    follow under their own name.  narrow_pictures: the same, drawn for a narrow screen.
    confusions: (true class, predicted class, count), the most frequent first.
    settings: dotted key → value as text.  commands: shell lines that make the model again.
    test_set: that the metrics were measured on; None where it is not known.
    remedy_commands: remedy that the diagnosis offers → shell line that trains the model with it.
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
    diagnosis: Diagnosis | None = None
    remedy_commands: Mapping[str, str] = field(default_factory=dict)
    verification: Verification | None = None
    healing: Healing | None = None
    test_set: EvaluatedOn | None = None

    @property
    def fault(self) -> Finding | None:
        """The finding that gives the verdict; None for a run without one."""
        return self.diagnosis.findings[0] if self.diagnosis and self.diagnosis.findings else None

    @property
    def proof(self) -> str:
        """The shell line that proves the first remedies; empty without any."""
        return verify_command(f"name={self.name}", self.diagnosis.offered) if self.diagnosis else ""
