"""The stage ``sweep-report``: a finished or unfinished study → what it says, as a page, pictures and a table.

It also writes the best configuration as an experiment, for ``dvc repro`` and everything else.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import compose
from pipeline.config.compose import flat
from pipeline.config.experiment import safe_name, write_experiment
from pipeline.data.store import load_card
from pipeline.errors import DataError
from pipeline.files import write_atomically
from pipeline.reporting.sweep_html import Section, print_sections, render_sweep_report
from pipeline.stages import sweep_sections as sections
from pipeline.stages.sweep_retrain import by_trial, fresh_seeds, read_retrained, retrain
from pipeline.sweep.analysis import FinishedTrial, StudyRecord, importances, read_study


def sweep_report(study: str, *, storage: str, seeds: int, retrained: bool, root: Path) -> Path:
    """Write ``results/sweeps/<study>/`` and ``conf/experiment/<study>_best.yaml``; return the page's path.

    seeds: how many fresh ones the best trials are trained with, where ``retrained`` asks for it.
    Raises `SweepError` or `SpaceError` where there is no such study or nothing in it.
    """
    record = read_study(storage, study)
    folder = root / "results" / "sweeps" / safe_name(record.name)
    settings, values = compose(record.fixed, root=root)
    path = folder / "retrained.csv"
    found = (
        retrain(record, _top(record), seeds=fresh_seeds(record, seeds), path=path, root=root)
        if retrained
        else read_retrained(path)
    )
    fresh = by_trial(found)
    best = _best(record, fresh)
    experiment = _write_best(record, best, fresh, root=root)
    command = f"pipeline train experiment={experiment.stem}"
    parts = _sections(
        record,
        fresh,
        flat(values),
        seeds=seeds,
        command=command,
        num_train=_num_train(root, settings.data.name),
    )
    lead = sections.lead(record)
    page = render_sweep_report(
        parts,
        title=f"Sweep {record.name}",
        lead=lead,
        generated_from={
            "storage": storage.rpartition("@")[2],
            "overrides": " ".join(record.fixed) or "none",
            "trials": str(record.folder),
        },
    )
    for drawing in (d for part in parts for d in part.drawings):
        write_atomically(folder / f"{drawing.stem}.png", drawing.png)
    write_atomically(folder / "trials.csv", _trials_csv(record))
    write_atomically(folder / "report.html", page.encode())
    print_sections(parts, lead=f"study {record.name}: {lead}")
    if settings.tracking.enabled and record.parent_run:
        _record(record.parent_run, settings.tracking, [*sorted(folder.iterdir()), experiment], root=root)
    print(f"\nreport: {(folder / 'report.html').relative_to(root)}\nbest:   {experiment.relative_to(root)}")
    return folder / "report.html"


def _sections(
    record: StudyRecord,
    fresh: Mapping[int, Sequence[float]],
    defaults: Mapping[str, Any],
    *,
    seeds: int,
    command: str,
    num_train: int | None,
) -> list[Section]:
    measure = sections.Measure.of(record)
    importance, curves = importances(record), sections.curves(record, measure)
    found = [
        sections.best_section(record, fresh, seeds=seeds, command=command),
        sections.pareto_section(record),
        sections.importance_section(record, importance),
        sections.curves_section(record, curves, measure, defaults),
        sections.choices_section(record, measure),
        sections.verdicts_section(record, curves, importance),
        sections.data_size_section(record, measure, num_train=num_train),
        sections.failures_section(record),
    ]
    return [section for section in found if section]


def _top(record: StudyRecord) -> list[FinishedTrial]:
    if len(record.directions) == 1:
        return record.complete[: sections.TOP]
    return [t for n in record.front[: sections.TOP] for t in record.trials if t.number == n]


def _best(record: StudyRecord, fresh: Mapping[int, Sequence[float]]) -> FinishedTrial:
    """The best by fresh seeds where there are any, else by its one run; by the first objective of several."""
    sign = 1 if record.directions[0] == "minimize" else -1
    tried = [t for t in record.complete if t.number in fresh]
    return min(tried, key=lambda t: sign * float(np.mean(fresh[t.number])), default=record.complete[0])


def _write_best(
    record: StudyRecord, best: FinishedTrial, fresh: Mapping[int, Sequence[float]], *, root: Path
) -> Path:
    values = ", ".join(f"{o} {v:.5g}" for o, v in zip(record.objectives, best.values, strict=True))
    again = fresh.get(best.number)
    told = f"; with {len(again)} fresh seeds {np.mean(again):.5g} on average" if again else ""
    name = f"{safe_name(record.name)}_best"
    comment = (
        f"The best trial of the sweep {record.name}, written by pipeline sweep-report.\n"
        f"Trial {best.number}: {values}{told}.\n"
    )
    return write_experiment(record.overrides(best), name=name, comment=comment, root=root)


def _num_train(root: Path, data: str) -> int | None:
    """How many training images there are; None where the data is not on this machine."""
    try:
        return sum(load_card(root / "data" / "processed" / data).class_counts["train"])
    except DataError:
        return None


def _trials_csv(record: StudyRecord) -> bytes:
    """One row a trial; a setting that a trial does not have is an empty cell."""
    metrics = sorted({name for t in record.trials for name in t.metrics})
    told = ("verdict", "seconds", "failure")
    head = ["number", "state", *record.objectives, *record.keys, *(f"kept {m}" for m in metrics), *told]
    rows = [
        [
            t.number,
            t.state,
            *(t.values or [""] * len(record.directions)),
            *("null" if v is None else v for v in (t.params.get(k, "") for k in record.keys)),
            *(t.metrics.get(m, "") for m in metrics),
            *(getattr(t, name) if getattr(t, name) is not None else "" for name in told),
        ]
        for t in record.trials
    ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return text.getvalue().encode()


def _record(run_id: str, tracking: Any, files: Sequence[Path], *, root: Path) -> None:
    """Add what was written to the study's run."""
    from pipeline.tracking import Tracker

    tracker = Tracker(tracking.uri, experiment=tracking.experiment, root=root)
    tracker.reopen(run_id).log_files(files, folder="sweep_report")
