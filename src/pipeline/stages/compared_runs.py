"""Which runs a comparison is of: the jobs of a multirun, or models by name; each with what tells it apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from pipeline.config import nearest
from pipeline.diagnosis import History
from pipeline.errors import DataError
from pipeline.evaluation.tables import read_history_csv
from pipeline.stages.diagnose import read_own

# More lines than this in one picture cannot be told apart.
MOST_RUNS = 12
# Of a folder's name, where it lists the models.
MOST_LETTERS = 40
SEPARATOR = " · "


@dataclass(frozen=True)
class ComparedRun:
    """label: what differs from the others.  steps: of the optimizer.  seconds: of training, of all epochs."""

    label: str
    history: History
    steps: int
    seconds: float


@dataclass(frozen=True)
class Group:
    """The runs of one comparison. name: of its folder.  differing: the keys whose values the labels are.

    missing: labels of jobs that left no history.
    """

    name: str
    runs: tuple[ComparedRun, ...]
    differing: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        """The keys that differ, without their groups; empty for models by name."""
        return SEPARATOR.join(key.rpartition(".")[2] for key in self.differing)


def named_runs(names: Sequence[str], *, root: Path) -> Group:
    """Return the trained models of these names; raise `DataError` where one has no history."""
    for name in names:
        if not (root / "results" / name / "history.csv").is_file():
            known = sorted(path.parent.name for path in root.glob("results/*/history.csv"))
            raise DataError(
                f"results/{name}/history.csv: missing, so {name} cannot be compared{nearest(name, known)}\n"
                f"Train it first: pipeline train name={name}"
            )
    _check_count(len(names), "names", "Name fewer.")
    runs = tuple(_read(name, name, output=root, root=root) for name in names)
    joined = "_".join(names)
    return Group(joined if len(joined) <= MOST_LETTERS else f"{names[0]}_and_{len(names) - 1}_more", runs)


def multirun(folder: Path, *, name: str, root: Path) -> Group:
    """Return the jobs of a multirun's folder, in their order.

    Raises `DataError` where there is none with a history, or more than one picture can hold.
    """
    jobs = sorted(
        (path.parents[1] for path in folder.glob("*/.hydra/overrides.yaml")),
        key=lambda job: (job.name.zfill(9), job.name),
    )
    if not jobs:
        raise DataError(
            f"{folder}: holds no run of a multirun (<number>/.hydra/overrides.yaml). "
            "Give the folder that pipeline train -m has printed, or study=<name>"
        )
    _check_count(len(jobs), str(folder), "Search so many with pipeline sweep-report study=<name>")
    overrides = [_overrides(job) for job in jobs]
    differing = _differing(overrides)
    runs, missing = [], []
    for job, own in zip(jobs, overrides, strict=True):
        label = _label(own, differing) or job.name
        found = sorted(job.glob("results/*/history.csv"))
        if found:
            runs.append(_read(label, found[0].parent.name, output=job, root=root))
        else:
            missing.append(label)
    if not runs:
        raise DataError(
            f"{folder}: none of its {len(jobs)} runs has left a history. Each job's train.log tells why."
        )
    return Group(name, tuple(runs), tuple(differing), tuple(missing))


def _check_count(count: int, what: str, way_out: str) -> None:
    if count > MOST_RUNS:
        raise DataError(f"{what}: are {count} runs; one picture holds {MOST_RUNS} at most. {way_out}")


def _read(label: str, name: str, *, output: Path, root: Path) -> ComparedRun:
    history, _ = read_own(name, root=root, output=output)
    rows = read_history_csv(output / "results" / name / "history.csv")
    seconds = sum(row.metrics.get("time/epoch_s", 0.0) for row in rows)
    return ComparedRun(label, history, steps=rows[-1].step, seconds=seconds)


def _overrides(job: Path) -> dict[str, str]:
    path = job / ".hydra" / "overrides.yaml"
    try:
        listed = yaml.safe_load(path.read_text())
        pairs = [str(text).lstrip("+").partition("=") for text in listed or []]
    except (yaml.YAMLError, UnicodeDecodeError, TypeError) as error:
        raise DataError(f"{path}: is not a list of overrides ({error}). Run the multirun again.") from error
    return {key: value for key, _, value in pairs}


def _differing(overrides: Sequence[dict[str, str]]) -> list[str]:
    keys = list(dict.fromkeys(key for own in overrides for key in own))
    return [key for key in keys if len({own.get(key) for own in overrides}) > 1]


def _label(own: dict[str, str], differing: Sequence[str]) -> str:
    return SEPARATOR.join(own.get(key, "-") for key in differing)
