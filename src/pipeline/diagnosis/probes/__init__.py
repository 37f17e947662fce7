"""What short runs from a trained model's weights say: losses in, evidence for and against verdicts out."""

from pipeline.diagnosis.probes.evidence import Evidence
from pipeline.diagnosis.probes.outcome import Batch, Fork, Outcome
from pipeline.diagnosis.probes.settle import Settled, settle

__all__ = ["Batch", "Evidence", "Fork", "Outcome", "Settled", "settle"]
