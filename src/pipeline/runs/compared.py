"""The runs of one comparison: jobs of a multirun, or models by name, each with its label."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from pipeline.config import nearest
from pipeline.config.limits import read_yaml_text
from pipeline.diagnosis import History
from pipeline.errors import ConfigError, DataError
from pipeline.evaluation.over_seeds import read_seeds
from pipeline.runs.files import HISTORY_FILE, RunFiles
from pipeline.runs.history import diverged, read_run

# A reader cannot distinguish more lines than this in one picture.
MOST_RUNS = 12
# Length of a comparison's folder name that lists the models.
MOST_LETTERS = 40
SEPARATOR = " · "
_OVERRIDES = Path(".hydra", "overrides.yaml")  # Hydra writes it into the folder of each job


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison.

    label: the settings in which it differs from the others, or its name.
    steps: of the optimizer.  seconds: of training, over all epochs.
    diverged: whether it ended with a loss that is not finite.
    """

    label: str
    history: History
    steps: int
    seconds: float
    diverged: bool

    @property
    def loss_name(self) -> str | None:
        """The name of the minimised loss; None where the settings are not known."""
        settings = self.history.context.settings
        return str(settings["loss"]["name"]) if settings else None


@dataclass(frozen=True)
class RunGroup:
    """The runs of one comparison.

    name: of the folder for its pictures.  differing: keys of the settings in which the runs
    differ.  missing: labels of jobs that left no history.
    """

    name: str
    runs: tuple[ComparedRun, ...]
    differing: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        """The keys that differ, without their groups; empty for models by name."""
        return SEPARATOR.join(key.rpartition(".")[2] for key in self.differing)

    @property
    def minimise_different_losses(self) -> bool:
        """Whether the runs were trained on different losses, as far as their settings are known."""
        return len({run.loss_name for run in self.runs if run.loss_name}) > 1


def named_runs(names: Sequence[str], *, root: Path) -> RunGroup:
    """Return the trained models of these names; raise `DataError` where one has no history.

    The name of a group of seeds stands for its models.
    """
    models = list(dict.fromkeys(model for name in names for model in _models_of(name, root)))
    for name in models:
        _check_history(name, root)
    _check_count(len(models), "names", "Name fewer.")
    runs = tuple(_read(name, name, output=root, root=root) for name in models)
    return RunGroup(_folder_of(names), runs)


def _folder_of(names: Sequence[str]) -> str:
    """Return the folder of a comparison; one that lists other names is another folder."""
    joined = ("+" if any("_" in name for name in names) else "_").join(names)
    if len(joined) <= MOST_LETTERS:
        return joined
    mark = hashlib.sha256(joined.encode()).hexdigest()[:6]
    return f"{names[0]}_and_{len(names) - 1}_more_{mark}"


def multirun(folder: Path, *, name: str, root: Path) -> RunGroup:
    """Return the jobs of a multirun's folder, in their order.

    Raises `DataError` where no job has a history, or there are more jobs than `MOST_RUNS`.
    """
    jobs = _jobs(folder)
    overrides = [_overrides(job / _OVERRIDES) for job in jobs]
    differing = _differing(overrides)
    runs, missing = [], []
    for job, own in zip(jobs, overrides, strict=True):
        label = SEPARATOR.join(own.get(key, "-") for key in differing) or job.name
        histories = sorted(job.glob(f"results/*/{HISTORY_FILE}"))
        if histories:
            runs.append(_read(label, histories[0].parent.name, output=job, root=root))
        else:
            missing.append(label)
    if not runs:
        raise DataError(
            f"{folder}: none of its {len(jobs)} runs has left a history. "
            "The train.log of each job shows the reason."
        )
    return RunGroup(name, tuple(runs), tuple(differing), tuple(missing))


def _models_of(name: str, root: Path) -> list[str]:
    folder = root / "results" / name
    group = None if (folder / HISTORY_FILE).is_file() else read_seeds(folder)
    return [run.name for run in group.finished] if group else [name]


def _check_history(name: str, root: Path) -> None:
    path = root / "results" / name / HISTORY_FILE
    if not path.is_file():
        known = sorted(other.parent.name for other in root.glob(f"results/*/{HISTORY_FILE}"))
        raise DataError(
            f"results/{name}/{HISTORY_FILE}: missing, so {name} cannot be compared"
            f"{nearest(name, known)}\nTrain it first: pipeline train name={name}"
        )


def _check_count(count: int, subject: str, way_out: str) -> None:
    if count > MOST_RUNS:
        raise DataError(
            f"{subject}: are {count} runs; one picture holds {MOST_RUNS} at most. {way_out}"
        )


def _jobs(folder: Path) -> list[Path]:
    """The folders of a multirun's jobs, in the order of their numbers."""
    jobs = [overrides.parents[1] for overrides in folder.glob(f"*/{_OVERRIDES}")]
    if not jobs:
        raise DataError(
            f"{folder}: holds no run of a multirun (<number>/{_OVERRIDES}). "
            "Give the folder that pipeline train -m has printed, or study=<name>"
        )
    _check_count(len(jobs), str(folder), "Compare so many with pipeline sweep-report study=<name>")
    return sorted(jobs, key=lambda job: (job.name.zfill(9), job.name))


def _read(label: str, name: str, *, output: Path, root: Path) -> ComparedRun:
    rows = RunFiles(output, name).read_history()
    return ComparedRun(
        label,
        read_run(name, root=root, output=output).history,
        steps=rows[-1].step,
        seconds=sum(row.metrics.get("time/epoch_s", 0.0) for row in rows),
        diverged=diverged(rows),
    )


def _overrides(path: Path) -> dict[str, str]:
    try:
        listed = yaml.safe_load(read_yaml_text(path, mapping=False))
        pairs = [str(text).lstrip("+").partition("=") for text in listed or []]
    except (yaml.YAMLError, ConfigError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: is not a list of overrides ({error}). Run the multirun again."
        ) from error
    return {key: value for key, _, value in pairs}


def _differing(overrides: Sequence[Mapping[str, str]]) -> list[str]:
    """The keys whose values are not the same in all jobs, in the order of their first use."""
    keys = dict.fromkeys(key for own in overrides for key in own)
    return [key for key in keys if len({own.get(key) for own in overrides}) > 1]
