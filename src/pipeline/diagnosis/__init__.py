"""Why a model is not better: a history of curves and signals → a verdict with its evidence."""

from pipeline.diagnosis.history import Context, History
from pipeline.diagnosis.record import Diagnosis
from pipeline.diagnosis.verdict import diagnose

__all__ = ["Context", "Diagnosis", "History", "diagnose"]
