"""A sweep's report as files: a page, its pictures, a table of trials, the best configuration."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import Settings, compose
from pipeline.config.compose import flat
from pipeline.config.experiment import safe_name, write_experiment
from pipeline.data.store import load_card
from pipeline.errors import DataError
from pipeline.files import sqlite_file, write_atomically
from pipeline.passwords import masked
from pipeline.reporting import sweep_curve_sections as curve_sections
from pipeline.reporting import sweep_sections as sections
from pipeline.reporting.sweep_html import ReportSection, render_sweep_report
from pipeline.reporting.sweep_landscape import slice_section
from pipeline.reporting.sweep_measure import Measure, validation_curves
from pipeline.sweep.analysis import FinishedTrial, StudyRecord
from pipeline.sweep.importance import importances

Fresh = Mapping[int, Sequence[float]]


@dataclass(frozen=True)
class SweepReport:
    """A written report. lead: one sentence on the study.  experiment: the best configuration."""

    lead: str
    sections: tuple[ReportSection, ...]
    page: Path
    experiment: Path
    settings: Settings

    @property
    def files(self) -> list[Path]:
        """All files of the report, with the experiment last."""
        return [*sorted(self.page.parent.iterdir()), self.experiment]


def sweep_folder(record: StudyRecord, *, root: Path) -> Path:
    """Return the folder of a study's report."""
    return root / "results" / "sweeps" / safe_name(record.name)


def write_sweep_report(
    record: StudyRecord, fresh: Fresh, *, storage: str, seeds: int, root: Path
) -> SweepReport:
    """Write ``results/sweeps/<study>/`` and ``conf/experiment/<study>_best.yaml``.

    fresh: trial → its values with fresh seeds, where it was trained again.  storage: the address of
    the study's database.  seeds: how many fresh seeds ``retrain=true`` would use.
    """
    settings, values = compose(record.fixed, root=root)
    experiment = _write_best(record, fresh, root=root)
    parts = _sections(
        record,
        fresh,
        flat(values),
        seeds=seeds,
        command=f"pipeline train experiment={experiment.stem}",
        num_train=_num_train(root, settings.data.name),
    )
    lead = sections.lead(record)
    page = render_sweep_report(
        parts,
        title=f"Sweep {record.name}",
        lead=lead,
        generated_from={
            "storage": _without_user(storage),
            "overrides": " ".join(record.fixed) or "none",
            "trials": str(record.folder),
        },
    )
    folder = sweep_folder(record, root=root)
    for part in parts:
        for drawing in part.drawings:
            write_atomically(folder / f"{drawing.stem}.png", drawing.png)
    write_atomically(folder / "trials.csv", _trials_csv(record))
    write_atomically(folder / "report.html", page.encode())
    return SweepReport(lead, tuple(parts), folder / "report.html", experiment, settings)


def _without_user(storage: str) -> str:
    """Return a database's address without user and password; a file's path may have an ``@``."""
    is_file = sqlite_file(storage) is not None
    return storage if is_file else masked(storage).rpartition("@")[2]


def _sections(
    record: StudyRecord,
    fresh: Fresh,
    defaults: Mapping[str, Any],
    *,
    seeds: int,
    command: str,
    num_train: int | None,
) -> list[ReportSection]:
    measure = Measure.of(record)
    importance, curves = importances(record), validation_curves(record, measure)
    candidates = [
        sections.best_section(record, fresh, seeds=seeds, command=command),
        sections.pareto_section(record),
        sections.importance_section(record, importance),
        slice_section(record, list(importance) or record.keys),
        curve_sections.curves_section(record, curves, measure, defaults),
        sections.choices_section(record, measure),
        curve_sections.verdicts_section(record, curves, importance),
        curve_sections.data_size_section(record, measure, num_train=num_train),
        sections.failures_section(record),
    ]
    return [section for section in candidates if section]


def _best(record: StudyRecord, fresh: Fresh) -> FinishedTrial:
    """Return the best trial by fresh seeds, else by its seeds in the sweep, else by its one run.

    Of several objectives the first one counts.
    """
    again = [t for t in record.complete if t.number in fresh]
    if not again:
        return record.groups[0].trials[0] if record.groups else record.complete[0]
    return min(again, key=lambda t: record.sign * float(np.mean(fresh[t.number])))


def _write_best(record: StudyRecord, fresh: Fresh, *, root: Path) -> Path:
    """Write the best configuration as an experiment; return its path."""
    best = _best(record, fresh)
    pairs = zip(record.objectives, best.values, strict=True)
    values = ", ".join(f"{objective} {value:.5g}" for objective, value in pairs)
    if best.over_seeds:
        values = f"{record.objectives[0]} {best.over_seeds.in_words}"
    if record.groups and not fresh:
        values = f"{record.objectives[0]} {record.groups[0].in_words}"
    again = fresh.get(best.number)
    if again:
        values += f"; with {len(again)} fresh seeds {np.mean(again):.5g} on average"
    comment = (
        f"The best trial of the sweep {record.name}, written by pipeline sweep-report.\n"
        f"Trial {best.number}: {values}.\n"
        + ("" if best.feasible else "It exceeds a limit of the sweep, as every trial does.\n")
    )
    name = f"{safe_name(record.name)}_best"
    return write_experiment(record.overrides(best), name=name, comment=comment, root=root)


def _num_train(root: Path, data: str) -> int | None:
    """Return the number of training images; None where the data is not on this machine."""
    try:
        return sum(load_card(root / "data" / "processed" / data).class_counts["train"])
    except DataError:
        return None


def _spread_cells(trial: FinishedTrial) -> tuple[float | str | None, str]:
    seeds = trial.over_seeds
    return (seeds.spread, " ".join(map(str, seeds.seeds))) if seeds else ("", "")


def _trials_csv(record: StudyRecord) -> bytes:
    """Return one row for each trial; a cell is empty where a trial has no such setting."""
    metrics = sorted({name for t in record.trials for name in t.metrics})
    kept = [f"kept {name}" for name in metrics]
    last = ["verdict", "seconds", "failure"]
    spread = ["standard deviation", "seeds"] if any(t.over_seeds for t in record.trials) else []
    head = ["number", "state", *record.objectives, *spread, *record.keys, *kept, *last]
    rows = []
    for t in record.trials:
        values = t.values or [""] * len(record.directions)
        settings = [
            "null" if t.params.get(key, "") is None else t.params.get(key, "")
            for key in record.keys
        ]
        numbers = [t.metrics.get(name, "") for name in metrics]
        # The csv module writes None as an empty cell.
        rows.append(
            [
                *(t.number, t.state, *values, *_spread_cells(t)[: len(spread)]),
                *(*settings, *numbers, t.verdict, t.seconds, t.failure),
            ]
        )
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return text.getvalue().encode()
