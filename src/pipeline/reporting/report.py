"""The report: everything under ``results/`` → one HTML file that opens anywhere."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.disk import RESULTS, check_disk
from pipeline.errors import DataError
from pipeline.evaluation.metrics_files import METRICS_FILE
from pipeline.evaluation.model_description import read_description
from pipeline.evaluation.over_seeds import SEEDS_FILE, SEEDS_PICTURE, read_seeds
from pipeline.files import write_atomically
from pipeline.reporting.html import render_report
from pipeline.reporting.model_report import ModelReport
from pipeline.reporting.page_origin import signed, sources_of
from pipeline.reporting.read_model import read_model
from pipeline.reporting.seed_groups import GroupReport
from pipeline.tracking import open_tracker

PAGE = "report.html"
_LONGEST_NAMES = 60  # characters; beyond them a hash stands for the names


def report(names: Sequence[str], *, root: Path) -> Path:
    """Write a page on the named models, or on all that have been evaluated; return its path.

    Groups of seeds have a row with their mean, and their models no part of their own, unless named.
    The page of all models is ``results/report.html``. A page of named models has their names, as in
    ``results/report_mlp_cnn.html``, so that no page replaces one that covers other models.
    Each model's own page becomes an artifact of its tracked run.
    A damaged model that is not named is left out, with a note on the error stream.
    Raises `DataError` if a named model, or every model, has no results yet or is damaged, and the
    errors of `check_disk` before anything is drawn.
    """
    check_disk({root / "results": RESULTS * max(1, len(names))}, largest=RESULTS)
    groups = _groups(names, root)
    grouped = {group.record.name for group in groups}
    if names:
        models = [_evaluated_model(n, root) for n in names if n not in grouped or _has(n, root)]
    else:
        models = _readable_models(root, groups)
    reported = list(dict.fromkeys([*(model.name for model in models), *sorted(grouped)]))
    path = root / "results" / page_name(names)
    sources = sources_of(reported, root=root)
    page = render_report(
        models, title="Experiment report", generated_from=sources, root=root, seed_groups=groups
    )
    write_atomically(path, signed(page).encode())
    for model in models:
        _record(model, root)
    print(f"report on {', '.join(reported)}: {path.relative_to(root)}")
    return path


def page_name(names: Sequence[str]) -> str:
    """Return the file of the report on these models; on all of them without names.

    Other models have another file: ``report_a_b.html`` is that of a and b, ``report-a_b.html``
    that of the model a_b.
    """
    if not names:
        return PAGE
    first, between = ("-", "+") if any("_" in name for name in names) else ("_", "_")
    listed = between.join(names)
    if len(listed) > _LONGEST_NAMES:
        listed = f"{len(names)}_models_{hashlib.sha256(listed.encode()).hexdigest()[:8]}"
    return f"report{first}{listed}.html"


def page_of(name: str, *, root: Path) -> str:
    """Return the page of one model, evaluated or not, as HTML."""
    return _page(read_model(name, root=root), root)


def _page(model: ModelReport, root: Path) -> str:
    sources = sources_of([model.name], root=root)
    return render_report([model], title=model.name, generated_from=sources, root=root)


def _groups(names: Sequence[str], root: Path) -> list[GroupReport]:
    """Return the groups of seeds of these names, or all; leave damaged ones out, with a note."""
    found = []
    for path in sorted((root / "results").glob(f"*/{SEEDS_FILE}")):
        if names and path.parent.name not in names:
            continue
        try:
            record = read_seeds(path.parent)
        except DataError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        picture = path.with_name(SEEDS_PICTURE)
        assert record is not None
        found.append(GroupReport(record, picture.read_bytes() if picture.is_file() else b""))
    return found


def _has(name: str, root: Path) -> bool:
    return (root / "results" / name / METRICS_FILE).is_file()


def _evaluated_names(root: Path, groups: Sequence[GroupReport]) -> list[str]:
    """Return the models with results and weights; name those whose weights are missing.

    Models of the groups are not among them.

    A fresh clone has the numbers of some models without their weights.
    """
    results = root / "results"
    members = {run.name for group in groups for run in group.record.runs}
    evaluated = sorted({path.parent.name for path in results.glob(f"*/{METRICS_FILE}")} - members)
    complete = [name for name in evaluated if (root / "models" / name / "model.json").is_file()]
    if not complete and not groups:
        raise DataError(
            f"{results}: no model has results yet. Train and evaluate one first: "
            "pipeline train; pipeline evaluate name=mlp"
        )
    left_out = [name for name in evaluated if name not in complete]
    if left_out:
        print(f"left out, since they were not trained here: {', '.join(left_out)} (in results/)")
    return complete


def _readable_models(root: Path, groups: Sequence[GroupReport]) -> list[ModelReport]:
    """Read all models with results; name those that are damaged."""
    models, damaged = [], []
    for name in _evaluated_names(root, groups):
        try:
            models.append(_evaluated_model(name, root))
        except DataError as error:
            damaged.append(error)
    if damaged and not models and not groups:
        raise damaged[0]
    for reason in damaged:
        print(f"left out: {reason}", file=sys.stderr)
    return models


def _evaluated_model(name: str, root: Path) -> ModelReport:
    metrics = root / "results" / name / METRICS_FILE
    if not metrics.is_file():
        raise DataError(
            f"{metrics}: missing. Train and evaluate the model first: "
            f"pipeline train name={name}; pipeline evaluate name={name}"
        )
    return read_model(name, root=root)


def _record(model: ModelReport, root: Path) -> None:
    """Add the model's page to the run that made it, if the store has that run."""
    made = read_description(root / "models" / model.name)
    tracker = open_tracker(made.settings["tracking"], root=root)
    if tracker is None:
        return
    digest, name = made.weights_sha256, made.settings["name"]
    with tracker.of_model(model_sha256=digest, name=name) as run:
        run.log_text(_page(model, root), PAGE)
