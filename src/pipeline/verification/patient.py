"""The patient: the run whose remedies are tried, found by its name or by its id in MLflow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.overrides import overrides_of
from pipeline.diagnosis import Diagnosis, History, diagnose
from pipeline.errors import DataError
from pipeline.records import EpochRecord
from pipeline.runs.files import RunFiles
from pipeline.runs.history import read_run, tracked_history
from pipeline.tracking import read_tags


@dataclass(frozen=True)
class Patient:
    """A run whose training has a fault.

    name: of its results.  overrides: give its configuration, in Hydra's grammar.
    settings: the composed configuration.  training_s: what the epochs took; None if unknown.
    earlier: names that it had in the earlier rounds of a healing.
    """

    name: str
    overrides: tuple[str, ...]
    settings: Mapping[str, Any]
    diagnosis: Diagnosis
    training_s: float | None = None
    earlier: tuple[str, ...] = ()

    @property
    def seed(self) -> int:
        """The seed that the run was trained with."""
        return int(self.settings["seed"])

    @property
    def treatment_overrides(self) -> list[str]:
        """The overrides without the run's own name and seed: what its trials share."""
        return [o for o in self.overrides if not o.startswith(("name=", "seed="))]


def patient_of(name: str, *, root: Path) -> Patient:
    """Return the run that left ``results/<name>/`` and ``models/<name>/``, with its diagnosis.

    A run that diverged left no model, but it can be healed too.
    Raises `DataError` if the run has no history or no configuration.
    """
    history = read_run(name, root=root).history
    settings = history.context.settings
    if not settings:
        raise DataError(
            f"results/{name}/config.json and models/{name}/model.json: are missing, so the "
            f"configuration of {name} is not known. Train it again: pipeline train name={name}"
        )
    took_s = training_s(RunFiles(root, name).read_history())
    return _patient(name, settings, history, took_s, root=root)


def patient_of_run(run_id: str, *, uri: str, root: Path) -> Patient:
    """Return a run of an MLflow store, with its diagnosis.

    The first digits of the id become part of the patient's name. They keep its results apart from
    those of a later run with the same name.
    Raises `TrackingError` if the store has no such run, `DataError` if the run lacks a
    configuration or a history.
    """
    history = tracked_history(run_id, num_classes=None, uri=uri, root=root)
    settings = history.context.settings
    if not settings:
        raise DataError(
            f"run={run_id}: has no config.json, history.csv and signals.safetensors among its "
            "artifacts, so it cannot be trained again. A run that was killed, or that belongs to "
            "another program, has none. Train it to its end, or name a run that ended."
        )
    took = read_tags(run_id, uri=uri, root=root).get("training.seconds")
    took_s = float(took) or None if took else None
    return _patient(f"{settings['name']}_{run_id[:8]}", settings, history, took_s, root=root)


def training_s(rows: Sequence[EpochRecord]) -> float | None:
    """Return the seconds that the epochs of a run took; None where they were not recorded."""
    seconds = math.fsum(row.metrics.get("time/epoch_s", math.nan) for row in rows)
    return seconds if seconds > 0 else None


def _patient(
    name: str, settings: Mapping[str, Any], history: History, took_s: float | None, *, root: Path
) -> Patient:
    overrides = tuple(overrides_of(settings, root=root))
    return Patient(name, overrides, settings, diagnose(history), took_s)
