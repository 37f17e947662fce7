"""Whose remedy is to be proved: a run by the name of its results, or by its id in MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.config.overrides import overrides_of
from pipeline.diagnosis import History, diagnose
from pipeline.errors import DataError
from pipeline.stages.diagnose import read_own, tracked_history
from pipeline.stages.verify_runs import Patient


def patient_of(name: str, *, root: Path) -> Patient:
    """Return the run that left ``results/<name>/`` and ``models/<name>/``, and its diagnosis.

    A run that diverged has left no model, but can be mended all the same.
    Raises `DataError` where the run has no history or no configuration.
    """
    history, _ = read_own(name, root=root)
    settings = history.context.settings
    if not settings:
        raise DataError(
            f"results/{name}/config.json and models/{name}/model.json: are missing, so the configuration of {name} "
            f"is not known. Train it again: pipeline train name={name}"
        )
    return _patient(name, settings, history, root=root)


def patient_of_run(run_id: str, *, uri: str, root: Path) -> Patient:
    """Return a run of an MLflow store, and its diagnosis. Its name gets the first digits of the id.

    So what is found of it is not taken for that of a later run of the same name.
    Raises `TrackingError` where the store has no such run, `DataError` where it lacks configuration or history.
    """
    history = tracked_history(run_id, num_classes=None, uri=uri, root=root)
    settings = history.context.settings
    if not settings:
        raise DataError(
            f"run={run_id}: has no config.json, history.csv and signals.safetensors among its artifacts, so it "
            "cannot be trained again. A run that was killed, or is another program's, has none: "
            "train it to its end, or name a run that ended."
        )
    return _patient(f"{settings['name']}_{run_id[:8]}", settings, history, root=root)


def _patient(name: str, settings: Mapping[str, Any], history: History, *, root: Path) -> Patient:
    return Patient(name, tuple(overrides_of(settings, root=root)), settings, diagnose(history))
