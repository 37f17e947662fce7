"""Evidence of short runs from a trained model's weights, for and against verdicts."""

from pipeline.diagnosis.probes.outcome import Batch, Fork, Outcome
from pipeline.diagnosis.probes.settle import settle

__all__ = ["Batch", "Fork", "Outcome", "settle"]
