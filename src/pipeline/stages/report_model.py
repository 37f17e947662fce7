"""Everything that ``results/<name>/`` and ``models/<name>/`` hold about one model, gathered for the report."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.overrides import overrides_of
from pipeline.errors import DataError
from pipeline.evaluation.tables import read_confusion_csv, read_history_csv
from pipeline.records import Estimate
from pipeline.reporting.model_report import (
    ArmRow,
    Evidence,
    GeneralizationRow,
    HealingReport,
    HealingStep,
    ModelReport,
    ProofReport,
    VerdictReport,
    WayOut,
)
from pipeline.reporting.sentences import whole_percent, words
from pipeline.stages.diagnose import remedy_command, settings_of
from pipeline.stages.report_pictures import REPLACED, drawn


def read_model(name: str, *, root: Path) -> ModelReport:
    """Return what is known of a model; what it has no file for is empty.

    Raises `DataError` where it has no description, or a file is damaged.
    """
    folder = root / "results" / name
    told = _description(name, root)
    settings = told["settings"]
    # The last run may have diverged and left the model of an earlier one: its remedies are its own settings'.
    diagnosis = _diagnosis(folder, settings_of(name, root=root) or settings, root=root)
    proof = _proof(folder)
    rows = _rows(folder / "generalization.csv")
    wide, narrow = drawn(
        name,
        decided=diagnosis.decided if diagnosis else (),
        arms=proof.rows if proof else (),
        elsewhere=rows,
        root=root,
    )
    on_disk = {p.stem: p.read_bytes() for p in sorted(folder.glob("*.png")) if p.stem not in REPLACED}
    return ModelReport(
        name=name,
        metrics={**_json(folder / "metrics.json", made_by="evaluate"), **_size(told, root / "models" / name)},
        history=read_history_csv(folder / "history.csv") if (folder / "history.csv").is_file() else (),
        pictures={**on_disk, **wide},
        narrow_pictures=narrow,
        confusions=_confusions(folder / "confusion.csv"),
        generalization=rows,
        settings=dict(_flat(settings)),
        commands=[
            shlex.join(["pipeline", "train", *overrides_of(settings, root=root)]),
            f"pipeline evaluate name={name}",
            f"pipeline diagnose name={name}",
            "pipeline report",
        ],
        diagnosis=diagnosis,
        proof=proof,
        healing=_healing(folder),
    )


def _description(name: str, root: Path) -> Mapping[str, Any]:
    path = root / "models" / name / "model.json"
    try:
        told = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: missing. Train and evaluate the model first: "
            f"pipeline train name={name}; pipeline evaluate name={name}"
        ) from error
    except ValueError as error:
        raise _not_a_description(path, error) from error
    if not isinstance(told, dict) or not {"summary", "settings"} <= told.keys():
        raise _not_a_description(path, ValueError("summary and settings are missing"))
    return told


def _size(told: Mapping[str, Any], folder: Path) -> dict[str, float]:
    try:
        summary = told["summary"]
        return {"model/num_parameters": summary["parameters"], "train/duration_s": summary["seconds"]}
    except (KeyError, TypeError) as error:
        raise _not_a_description(folder / "model.json", error) from error


def _not_a_description(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path}: not a model's description ({error!r}). Train it again: pipeline train name={path.parent.name}"
    )


# --- what the stages before have found -----------------------------------------------------------------


def _diagnosis(folder: Path, settings: Mapping[str, Any], *, root: Path) -> VerdictReport | None:
    told = _json(folder / "diagnosis.json", made_by="diagnose")
    if not told:
        return None
    name = folder.name
    first = told["findings"][0] if told["findings"] else {}
    ways = [
        WayOut(r["name"], r["why"], remedy_command(settings, r["name"], r["overrides"], root=root))
        for r in first.get("remedies", ())
    ]
    return VerdictReport(
        verdict=told["verdict"],
        confidence=told["confidence"],
        what=first.get("what", ""),
        harm=first.get("harm", ""),
        reason=told["reason"],
        evidence=[_evidence(c) for c in first.get("conditions", ())],
        ways=ways,
        verify=f"pipeline verify name={name}"
        if ways and not (folder / "verification.json").is_file()
        else "",
        undecided=[f["verdict"] for f in told["undecided"]],
        not_run={n["verdict"]: n["missing"] for n in told["not_run"]},
    )


def _evidence(c: Mapping[str, Any]) -> Evidence:
    return Evidence(
        what=c["what"],
        value=c["value"],
        low=c["low"],
        high=c["high"],
        limit=c["limit"],
        wanted=c["wanted"],
        unit=c.get("unit", ""),
        epochs=(c["epochs"][0], c["epochs"][1]) if c["epochs"] else None,
    )


def _proof(folder: Path) -> ProofReport | None:
    told = _json(folder / "verification.json", made_by="verify")
    if not told:
        return None
    arms = [
        ArmRow(
            name=arm["name"],
            change=Estimate(**arm["improvement"]),
            verdict=arm["verdict"],
            p_value=arm["p_value"],
            symptom=arm["symptom_share"],
            seeds_needed=arm["seeds_needed"],
        )
        for arm in told["arms"]
    ]
    controls = [
        ArmRow("control: reseeded", Estimate(**told["reseed"]), "control"),
        ArmRow("control: random search", Estimate(**told["random"]), "control"),
    ]
    claim = told["claim"] if told["experiment"] else None
    proved = (
        f"{words(claim['arm'])}, test loss falls by {whole_percent(Estimate(**claim['remedy']))}"
        if claim
        else ""
    )
    return ProofReport(told["sentence"], [*arms, *controls], proved, _experiment(told))


def _healing(folder: Path) -> HealingReport | None:
    told = _json(folder / "healing.json", made_by="heal")
    if not told:
        return None
    steps = [
        HealingStep(
            verdict=step["verdict"],
            confidence=step["confidence"],
            adopted=step["adopted"] or "",
            overrides=" ".join(step["overrides"]),
            proof=step["proof"],
        )
        for step in told["steps"]
    ]
    return HealingReport(steps, told["end"], told["verdict"], _experiment(told))


def _experiment(told: Mapping[str, Any]) -> str:
    return f"pipeline train experiment={told['experiment']}" if told["experiment"] else ""


# --- tables ------------------------------------------------------------------------------------------------


def _confusions(path: Path) -> list[tuple[str, str, int]]:
    """The mistakes by how often they were made: true class, predicted class, count."""
    if not path.is_file():
        return []
    matrix, names = read_confusion_csv(path)
    wrong = matrix * ~np.eye(len(names), dtype=bool)
    order = np.argsort(-wrong, axis=None, kind="stable")
    pairs = [np.unravel_index(i, wrong.shape) for i in order[: int((wrong > 0).sum())]]
    return [(names[t], names[p], int(wrong[t, p])) for t, p in pairs]


def _rows(path: Path) -> list[GeneralizationRow]:
    if not path.is_file():
        return []
    with path.open(newline="") as lines:
        return [
            GeneralizationRow(
                name=row["name"],
                severity=int(row["severity"]) if row["severity"] else None,
                accuracy=Estimate(
                    float(row["accuracy"]), float(row["low"]), float(row["high"]), int(row["n"])
                ),
            )
            for row in csv.DictReader(lines)
        ]


def _json(path: Path, *, made_by: str) -> dict[str, Any]:
    """A file that a model may lack; an empty mapping then."""
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text()))
    except ValueError as error:
        raise DataError(
            f"{path}: not valid JSON ({error}). Make it again: pipeline {made_by} name={path.parent.name}"
        ) from error


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", "null" if value is None else str(value)))
    return pairs
