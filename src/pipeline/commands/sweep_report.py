"""The command ``sweep-report``: what a finished or unfinished study says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline.commands.command import Call, Command, Options, StudyName


class SweepReportOptions(Options):
    """Options of ``pipeline sweep-report``."""

    study: StudyName = Field("", description="name of the study, as the sweep printed it")
    storage: str | None = Field(
        None, description="URL of the study's database; without it that of conf/"
    )
    retrain: bool = Field(False, description="train the best trials again with fresh seeds")
    seeds: Annotated[int, Field(ge=2, le=100)] = Field(
        5, description="fresh seeds of each trial that is trained again"
    )


def run(call: Call[SweepReportOptions]) -> None:
    """Report a study. Without a name, the error lists the studies that exist."""
    from pipeline.config import sweep_options

    asked = call.options
    sweep_report(
        asked.study,
        storage=asked.storage or str(sweep_options([], root=call.root)["storage"]),
        seeds=asked.seeds,
        retrained=asked.retrain,
        root=call.root,
    )


def sweep_report(study: str, *, storage: str, seeds: int, retrained: bool, root: Path) -> Path:
    """Write and print the report on a study; return the page's path.

    retrained: train the best trials again first.  seeds: how many fresh ones each is trained with.
    Raises `SweepError` or `SpaceError` where there is no such study, or none of its trials ended,
    and the errors of `check_disk`, before anything is trained.
    """
    from pipeline.disk import LARGEST_RESULT, RESULTS, check_disk
    from pipeline.reporting.sweep_html import print_sections
    from pipeline.reporting.sweep_report import sweep_folder, write_sweep_report
    from pipeline.reporting.sweep_sections import top_trials
    from pipeline.runs.retrain import by_trial, fresh_seeds, read_retrained, retrain
    from pipeline.sweep.analysis import read_study
    from pipeline.tracking import open_tracker

    record = read_study(storage, study)
    path = sweep_folder(record, root=root) / "retrained.csv"
    places = {path.parent: RESULTS, root / "conf" / "experiment": 0}
    check_disk(places, largest=LARGEST_RESULT)
    if retrained:
        retrain(record, top_trials(record), seeds=fresh_seeds(record, seeds), path=path, root=root)
    fresh = by_trial(read_retrained(path))
    report = write_sweep_report(record, fresh, storage=storage, seeds=seeds, root=root)
    print_sections(report.sections, lead=f"study {record.name}: {report.lead}")

    if record.parent_run:
        tracker = open_tracker(report.settings.tracking, root=root)
        if tracker:
            with tracker.reopened(record.parent_run) as run_of_study:
                run_of_study.log_files(report.files, folder="sweep_report")
    print(f"\nreport: {report.page.relative_to(root)}")
    print(f"best:   {report.experiment.relative_to(root)}")
    return report.page


COMMAND = Command(
    options=SweepReportOptions,
    run=run,
    resumed=True,
    examples=(
        "pipeline sweep-report study=<name as the sweep printed it>",
        "pipeline sweep-report study=<name> retrain=true seeds=5",
    ),
)
