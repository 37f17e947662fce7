"""The verdict on a run that has ended, and its place in the tracked run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.diagnosis import Diagnosis, History, diagnose
from pipeline.errors import PipelineError
from pipeline.evaluation.metrics_files import metrics_of
from pipeline.evaluation.model_description import ModelDescription
from pipeline.runs.note import of_model
from pipeline.sweep.trial import VERDICT
from pipeline.tracking import NOTE_TAG, open_tracker

CONFIDENCE = "diagnosis.confidence"


def verdict_of(history: History) -> Diagnosis | None:
    """Return the diagnosis of a run; None where its history says nothing."""
    try:
        return diagnose(history)
    except PipelineError:
        return None


def tags_of(diagnosis: Diagnosis) -> dict[str, str]:
    """Return the tags of a tracked run: columns to sort and filter by."""
    return {VERDICT: diagnosis.verdict, CONFIDENCE: f"{diagnosis.confidence:.3f}"}


def track_verdict(
    model: ModelDescription, diagnosis: Diagnosis, files: Sequence[Path], *, root: Path
) -> None:
    """Tag the tracked run of a model with its verdict, and add the files to its artifacts."""
    tracker = open_tracker(model.settings["tracking"], root=root)
    if tracker is None:
        return
    digest, name = model.weights_sha256, model.settings["name"]
    numbers = metrics_of(digest, root / "results" / diagnosis.name)
    with tracker.of_model(model_sha256=digest, name=name) as run:
        run.set_tags({**tags_of(diagnosis), NOTE_TAG: of_model(name, numbers, diagnosis)})
        run.log_files(files)
