"""The stage ``report``: everything under ``results/`` → one HTML file that opens anywhere."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import DataError
from pipeline.evaluation.tables import read_history_csv
from pipeline.files import write_atomically
from pipeline.records import Estimate
from pipeline.reporting.html import render_report
from pipeline.reporting.model_report import GeneralizationRow, ModelReport


def report(names: Sequence[str], *, root: Path) -> Path:
    """Write ``results/report.html`` on the named models, or on all that have been evaluated.

    Raises `DataError` where a named model, or every model, has no results yet.
    """
    results = root / "results"
    found = list(names) or sorted(path.parent.name for path in results.glob("*/metrics.json"))
    if not found:
        raise DataError(
            f"{results}: no model has results yet. Train and evaluate one first: "
            "pipeline train; pipeline evaluate name=mlp"
        )
    models = [_read(name, root) for name in found]
    page = render_report(models, title="Experiment report", generated_from=_sources(models))
    path = results / "report.html"
    write_atomically(path, page.encode())
    print(f"report on {', '.join(found)}: {path.relative_to(root)}")
    return path


def _read(name: str, root: Path) -> ModelReport:
    folder = root / "results" / name
    try:
        metrics = json.loads((folder / "metrics.json").read_text())
        told = json.loads((root / "models" / name / "model.json").read_text())
    except FileNotFoundError as error:
        raise DataError(
            f"{error.filename}: missing. Train and evaluate the model first: "
            f"pipeline train name={name}; pipeline evaluate name={name}"
        ) from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"{folder}: not valid JSON ({error}). Evaluate again: pipeline evaluate name={name}"
        ) from error
    try:
        summary, settings = told["summary"], dict(_flat(told["settings"]))
        size = {"model/num_parameters": summary["parameters"], "train/duration_s": summary["seconds"]}
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(
            f"{root / 'models' / name / 'model.json'}: not a model's description ({error!r}). "
            f"Train it again: pipeline train name={name}"
        ) from error
    return ModelReport(
        name=name,
        metrics={**metrics, **size},
        history=read_history_csv(folder / "history.csv") if (folder / "history.csv").is_file() else (),
        pictures={path.stem: path.read_bytes() for path in sorted(folder.glob("*.png"))},
        generalization=_rows(folder / "generalization.csv"),
        settings=settings,
        commands=[f"pipeline train name={name} …", f"pipeline evaluate name={name}", "pipeline report"],
        diagnosis=[*_diagnosis(folder / "diagnosis.json"), *_verification(folder / "verification.json")],
    )


def _diagnosis(path: Path) -> list[str]:
    """The verdict in one sentence, with the numbers that decided."""
    told = _json(path)
    if not told:
        return []
    verdict = f"{told['verdict'].replace('_', ' ').capitalize()} (confidence {told['confidence']:.2f})."
    if not told["findings"]:
        return [f"{verdict} {told['reason']}".strip()]
    first = told["findings"][0]
    numbers = "; ".join(
        f"{c['what']} {'not finite' if c['value'] is None else format(c['value'], '.3g')} "
        f"({c['wanted']} {c['limit']:.3g})"
        for c in first["conditions"]
    )
    sentences = [f"{verdict} {first['what']}", f"Evidence: {numbers}."]
    if first["remedies"]:
        names = ", ".join(r["name"].replace("_", " ") for r in first["remedies"][:3])
        sentences.append(f"What to do about it: {names}. The commands: pipeline diagnose name={told['name']}")
    return sentences


def _verification(path: Path) -> list[str]:
    told = _json(path)
    return [told["sentence"]] if told else []


def _json(path: Path) -> dict[str, Any]:
    """A file that a person may lack; an empty mapping then."""
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text()))
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error}). Remove it, or make it again.") from error


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


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", "null" if value is None else str(value)))
    return pairs


def _sources(models: Sequence[ModelReport]) -> dict[str, str]:
    return {model.name: f"results/{model.name}/, models/{model.name}/" for model in models}
