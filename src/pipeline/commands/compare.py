"""The command ``compare``: one measure of several runs in a picture, and a table of their ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from pipeline.commands.command import Call, Command, Options, RunName, StudyName, one_of
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.runs.compared import RunGroup

# Those of `pipeline.reporting.run_comparison`; a test compares them. Its import takes seconds.
Metric = Literal[
    "loss",
    "cross_entropy",
    "accuracy",
    "train/loss",
    "val/loss",
    "train/cross_entropy",
    "val/cross_entropy",
    "train/accuracy",
    "val/accuracy",
    "train/objective",
    "learning_rate",
    "gradients",
    "time_gradients",
]


class CompareOptions(Options):
    """Options of ``pipeline compare``. Exactly one of study, names and folder is given."""

    study: StudyName | None = Field(None, description="study of a sweep, as the sweep printed it")
    names: tuple[RunName, ...] = Field((), description="two runs or groups of seeds, or more")
    folder: Path | None = Field(None, description="folder of a multirun")
    metric: Metric = Field("val/loss", description="measure that is drawn")
    storage: str | None = Field(
        None, description="URL of the study's database; without it that of conf/"
    )

    @field_validator("names")
    @classmethod
    def _two_different(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if names and (len(names) < 2 or len(set(names)) < len(names)):
            raise ConfigError(
                f"names=[{','.join(names)}]: must list two runs or more, each once, "
                "for example names=[mlp,cnn]"
            )
        return names


def run(call: Call[CompareOptions]) -> None:
    """Draw the runs that the options name."""
    from pipeline.evaluation.over_seeds import read_seeds

    compare(group_of(call), metric=call.options.metric, root=call.root)
    for name in call.options.names:
        if record := read_seeds(call.root / "results" / name):
            print(f"{name}: test {record.in_words}")


def group_of(call: Call[CompareOptions]) -> RunGroup:
    """Find the runs that the options name.

    Raises `DataError`, `SweepError` or `SpaceError` where there are no such runs.
    """
    from pipeline.config import sweep_options
    from pipeline.config.experiment import safe_name
    from pipeline.runs.compared import multirun, named_runs
    from pipeline.sweep.analysis import read_study

    asked, root = call.options, call.root
    one_of(asked, "study", "names", "folder")
    if asked.names:
        return named_runs(asked.names, root=root)
    if asked.study:
        storage = asked.storage or str(sweep_options([], root=root)["storage"])
        record = read_study(storage, asked.study)
        return multirun(record.folder, name=safe_name(record.name), root=root)
    folder = asked.folder or Path()
    return multirun(folder, name=safe_name("_".join(folder.parts[-2:])), root=root)


def compare(group: RunGroup, *, metric: str, root: Path) -> Path:
    """Draw the runs' ``metric`` and print the table; return the picture's path.

    The picture is ``results/compare/<name>/<metric>.png``.  metric: one of `METRICS`.
    Raises `DataError` where no run has the metric, and the errors of `check_disk`; nothing is
    written then.
    """
    from pipeline.disk import LARGEST_RESULT, RESULTS, check_disk
    from pipeline.reporting.run_comparison import compare_runs, comparison_table
    from pipeline.reporting.style import save_png

    picture = root / "results" / "compare" / group.name / f"{metric.replace('/', '_')}.png"
    check_disk({picture.parent: RESULTS}, largest=LARGEST_RESULT)
    comparison = compare_runs(group, metric)
    save_png(comparison.figure, picture)
    _print_table(comparison_table(group, metric))
    if comparison.left_out:
        print(f"left out, without {metric}: {', '.join(comparison.left_out)}")
    if group.minimise_different_losses and metric.endswith("loss"):
        comparable = metric.replace("loss", "cross_entropy")
        print(f"these runs minimise different losses: compare metric={comparable}")
    print(f"picture: {picture.relative_to(root)}")
    return picture


def _print_table(table: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())
    print("CE: cross-entropy in nats, of the weights that are kept")


COMMAND = Command(
    options=CompareOptions,
    run=run,
    positional="folder",
    examples=(
        "pipeline compare names=[mlp,cnn]",
        "pipeline compare study=<name as the sweep printed it> metric=gradients",
        "pipeline compare multirun/2026-01-31/12-00-00-000000",
    ),
)
