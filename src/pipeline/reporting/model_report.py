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
class ModelReport:
    """One model in the report; whatever is empty is left out of it.

    metrics: as ``evaluation.flatten`` names them (``test/accuracy``, ``test/accuracy_low``, …), with
    ``model/num_parameters`` and ``train/duration_s`` where known.
    pictures: file stem → PNG; ``learning_curves``, ``confusion``, ``mistakes``, ``reliability``,
    ``per_class`` and ``generalization`` have their place, others follow under their own name.
    settings: dotted key → value as text.  commands: shell lines that made the model, in order.
    diagnosis: sentences: the verdict with its evidence, and what was proved.
    """

    name: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    history: Sequence[EpochRecord] = ()
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    generalization: Sequence[GeneralizationRow] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ()
    diagnosis: Sequence[str] = ()
