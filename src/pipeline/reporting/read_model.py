"""All files in ``results/<name>/`` and ``models/<name>/`` → one `ModelReport`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pipeline.config.compose import flat
from pipeline.config.overrides import overrides_of
from pipeline.data.prepared import prepared_folder
from pipeline.data.store import CARD, load_card
from pipeline.diagnosis.proof import Healing, Verification
from pipeline.diagnosis.record import Diagnosis
from pipeline.errors import DataError
from pipeline.evaluation.generalization import read_generalization_csv
from pipeline.evaluation.metrics_files import METRICS_FILE, read_metrics
from pipeline.evaluation.model_description import (
    ModelDescription,
    TrainingSummary,
    read_description,
)
from pipeline.evaluation.over_seeds import SEEDS_PICTURE
from pipeline.evaluation.results import EVALUATED_ON, EvaluatedOn
from pipeline.evaluation.tables import read_confusion_csv, read_history_csv
from pipeline.files import Record, read_record
from pipeline.reporting.model_report import ModelReport
from pipeline.reporting.remedy_command import remedy_commands
from pipeline.reporting.report_pictures import REPLACED, drawn
from pipeline.runs.files import RunFiles
from pipeline.runs.provenance import data_sha256

Content = TypeVar("Content")


def read_model(name: str, *, root: Path) -> ModelReport:
    """Return everything that is known of a model. A part without a file is empty.

    So is a damaged record such as ``diagnosis.json``, after a note on the error stream.
    Raises `DataError` if the model has no description, or if its numbers, history or signals are
    damaged.
    """
    folder = root / "results" / name
    model = read_description(root / "models" / name)
    diagnosis = _record(folder / "diagnosis.json", Diagnosis, made_by="diagnose")
    metrics = read_metrics(folder) if (folder / METRICS_FILE).is_file() else {}
    verification = _record(folder / "verification.json", Verification, made_by="verify")
    generalization = _if_there(folder / "generalization.csv", read_generalization_csv) or ()

    overrides = overrides_of(model.settings, root=root)
    # The last run may have diverged, and left the model of an earlier run with other settings.
    last = RunFiles(root, name).read_config() or model.settings
    wide, narrow = drawn(
        name, diagnosis=diagnosis, verification=verification, elsewhere=generalization, root=root
    )
    on_disk = {
        p.stem: p.read_bytes()
        for p in sorted(folder.glob("*.png"))
        if p.stem not in REPLACED and p.name != SEEDS_PICTURE
    }
    return ModelReport(
        name=name,
        metrics={**metrics, **_size(model.summary)},
        history=_if_there(folder / "history.csv", read_history_csv) or (),
        pictures={**on_disk, **wide},
        narrow_pictures=narrow,
        confusions=_if_there(folder / "confusion.csv", _confusions) or (),
        generalization=generalization,
        settings={key: _text(value) for key, value in flat(model.settings).items()},
        commands=_commands(name, overrides),
        diagnosis=diagnosis,
        remedy_commands=_remedy_commands(
            diagnosis, last, root=root, overrides=overrides if last == model.settings else None
        ),
        verification=verification,
        healing=_record(folder / "healing.json", Healing, made_by="heal"),
        test_set=_record(folder / EVALUATED_ON, EvaluatedOn, made_by="evaluate")
        or _trained_on(model, root=root),
    )


def _trained_on(model: ModelDescription, *, root: Path) -> EvaluatedOn:
    """Return the test part of a model whose evaluation did not name it: that of its training."""
    name = str(model.settings["data"]["name"])
    folder = prepared_folder(name, root=root)
    if (folder / CARD).is_file():
        card = load_card(folder)
        if data_sha256(card) == model.data_sha256:
            return EvaluatedOn(name, card.sha256["test"], sum(card.class_counts["test"]))
    return EvaluatedOn(name)


def _if_there(path: Path, read: Callable[[Path], Content]) -> Content | None:
    return read(path) if path.is_file() else None


def _record(path: Path, kind: type[Record], *, made_by: str) -> Record | None:
    """Read a record that a model may lack. made_by: the command that writes it."""
    way_out = f"Make it again: pipeline {made_by} name={path.parent.name}"
    try:
        return read_record(path, kind, way_out=way_out) if path.is_file() else None
    except DataError as error:
        print(f"left out: {error}", file=sys.stderr)
        return None


def _commands(name: str, overrides: Sequence[str]) -> list[str]:
    """Return the lines that make a model and its results again; overrides: of its training."""
    return [
        shlex.join(["pipeline", "train", *overrides]),
        f"pipeline evaluate name={name}",
        f"pipeline diagnose name={name}",
        "pipeline report",
    ]


def _remedy_commands(
    diagnosis: Diagnosis | None,
    settings: Mapping[str, Any],
    *,
    root: Path,
    overrides: Sequence[str] | None,
) -> dict[str, str]:
    if diagnosis is None:
        return {}
    remedies = diagnosis.offered
    lines = remedy_commands(settings, remedies, root=root, overrides=overrides)
    return {remedy.name: line for remedy, line in zip(remedies, lines, strict=True)}


# --- text and tables ------------------------------------------------------------------------------


def _confusions(path: Path) -> list[tuple[str, str, int]]:
    """Return true class, predicted class and count of every kind of mistake, by count."""
    matrix, names = read_confusion_csv(path)
    wrong = matrix * ~np.eye(len(names), dtype=bool)
    order = np.argsort(-wrong, axis=None, kind="stable")
    pairs = [np.unravel_index(i, wrong.shape) for i in order[: int((wrong > 0).sum())]]
    return [(names[t], names[p], int(wrong[t, p])) for t, p in pairs]


def _size(summary: TrainingSummary) -> dict[str, float]:
    return {
        "model/num_parameters": summary.parameters,
        "train/epochs": float(summary.epochs),
    }


def _text(value: object) -> str:
    return "null" if value is None else str(value)
