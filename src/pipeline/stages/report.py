"""The stage ``report``: everything under ``results/`` → one HTML file that opens anywhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import DataError
from pipeline.files import write_atomically
from pipeline.reporting.html import render_report
from pipeline.reporting.model_report import ModelReport
from pipeline.stages.report_model import read_model
from pipeline.tracking import Tracker

PAGE = "report.html"


def report(names: Sequence[str], *, root: Path) -> Path:
    """Write ``results/report.html`` on the named models, or on all that have been evaluated.

    Each model's own page becomes an artifact of its tracked run. Raises `DataError` where a named model,
    or every model, has no results yet.
    """
    found = list(names) or _evaluated(root)
    models = [_evaluated_model(name, root) for name in found]
    path = root / "results" / PAGE
    page = render_report(models, title="Experiment report", generated_from=_sources(models))
    write_atomically(path, page.encode())
    for model in models:
        _record(model, root)
    print(f"report on {', '.join(found)}: {path.relative_to(root)}")
    return path


def page_of(name: str, *, root: Path) -> str:
    """The page of one model, evaluated or not, as HTML."""
    model = read_model(name, root=root)
    return _page(model)


def _page(model: ModelReport) -> str:
    return render_report([model], title=model.name, generated_from=_sources([model]))


def _evaluated(root: Path) -> list[str]:
    """Models with results; those whose weights are not here (only their numbers are in git) are told."""
    results = root / "results"
    named = sorted(path.parent.name for path in results.glob("*/metrics.json"))
    here = [name for name in named if (root / "models" / name / "model.json").is_file()]
    if not here:
        raise DataError(
            f"{results}: no model has results yet. Train and evaluate one first: "
            "pipeline train; pipeline evaluate name=mlp"
        )
    left_out = [name for name in named if name not in here]
    if left_out:
        print(f"left out, since models/<name>/ is missing: {', '.join(left_out)}")
    return here


def _evaluated_model(name: str, root: Path) -> ModelReport:
    metrics = root / "results" / name / "metrics.json"
    if not metrics.is_file():
        raise DataError(
            f"{metrics}: missing. Train and evaluate the model first: "
            f"pipeline train name={name}; pipeline evaluate name={name}"
        )
    return read_model(name, root=root)


def _record(model: ModelReport, root: Path) -> None:
    """Add the model's page to the run that made it, where this store knows one."""
    told = json.loads((root / "models" / model.name / "model.json").read_text())
    tracking = told["settings"]["tracking"]
    if not tracking["enabled"]:
        return
    tracker = Tracker(tracking["uri"], experiment=tracking["experiment"], root=root)
    run = tracker.find(model_sha256=told["weights_sha256"], name=told["settings"]["name"])
    if run is not None:
        run.log_text(_page(model), PAGE)


def _sources(models: Sequence[ModelReport]) -> dict[str, str]:
    return {model.name: f"results/{model.name}/, models/{model.name}/" for model in models}
