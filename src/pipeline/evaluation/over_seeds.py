"""One setting trained with several seeds: each number with its mean, spread and interval.

``results/<name>/seeds.json`` is the written form, and ``<name>_seed3`` the model of seed 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev

from pipeline.evaluation.intervals import student
from pipeline.evaluation.results import EvaluatedOn
from pipeline.files import Number, read_record

SEEDS_FILE, SEEDS_PICTURE = "seeds.json", "seeds.png"
ACCURACY = "test/accuracy"


@dataclass(frozen=True)
class OverSeeds:
    """One number over the seeds.

    mean: of the values, rounded once (a sum that is rounded first can change its last digit).
    standard_deviation: with n - 1.  low, high: Student's 95 % interval of
    the mean.  values: in the order of the seeds.  All but the values are NaN where one value is not
    finite, and the last three where there is only one.
    """

    mean: Number
    standard_deviation: Number
    low: Number
    high: Number
    n: int
    values: tuple[Number, ...]


@dataclass(frozen=True)
class SeedRun:
    """One training of the group.

    name: of the model and its folders.  failure: why it left no model; None for a finished one.
    verdict: of its diagnosis.  tracked_run: its key in the record; None where it was not tracked.
    weights_sha256: of the model; None without one.
    """

    seed: int
    name: str
    failure: str | None
    verdict: str | None
    tracked_run: str | None
    weights_sha256: str | None


@dataclass(frozen=True)
class SeedsRecord:
    """The file ``seeds.json``: the runs of a group, and every number of theirs over the seeds.

    study: of the trainings.  objective: by which validation chose the best run.  best: its name.
    kept: metrics of the kept epoch, size and time.  test: the numbers of the evaluation, without
    the ends of intervals.  on: the test part that they were measured on.
    """

    name: str
    study: str
    objective: str
    best: str
    runs: tuple[SeedRun, ...]
    on: EvaluatedOn
    kept: Mapping[str, OverSeeds]
    test: Mapping[str, OverSeeds]

    @property
    def finished(self) -> tuple[SeedRun, ...]:
        """The runs that left a model."""
        return tuple(run for run in self.runs if run.failure is None)

    @property
    def in_words(self) -> str:
        """``accuracy 99.31 % ± 0.06 % over 3 seeds``, and how many seeds were lost."""
        accuracy = self.test[ACCURACY]
        lost = len(self.runs) - len(self.finished)
        spread = "" if accuracy.n < 2 else f" ± {accuracy.standard_deviation:.2%}"
        words = f"accuracy {accuracy.mean:.2%}{spread} over {_counted(accuracy.n)}"
        return _spaced(words) + (f"; {_counted(lost)} failed" if lost else "")


def over_seeds(rows: Sequence[Mapping[str, float]]) -> dict[str, OverSeeds]:
    """Return each number that all runs have, over the runs.

    rows: the numbers of each run, in the order of the seeds; at least one.
    """
    shared = [key for key in rows[0] if all(key in row for row in rows)]
    return {key: summarised([row[key] for row in rows]) for key in shared}


def summarised(values: Sequence[float]) -> OverSeeds:
    """Return one number over the seeds. values: at least one."""
    n = len(values)
    if not all(map(math.isfinite, values)):
        return OverSeeds(math.nan, math.nan, math.nan, math.nan, n, tuple(values))
    if n < 2:
        return OverSeeds(values[0], math.nan, math.nan, math.nan, n, tuple(values))
    interval = student(values)
    return OverSeeds(interval.value, stdev(values), interval.low, interval.high, n, tuple(values))


def without_ends(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the numbers of an evaluation without the ends of their intervals."""
    ends = ("_low", "_high")
    return {
        key: value
        for key, value in metrics.items()
        if not (key.endswith(ends) and key.rpartition("_")[0] in metrics)
    }


def member_name(name: str, seed: int | str) -> str:
    """Return the name of the model of one seed: ``cnn_seed3``."""
    return f"{name}_seed{seed}"


def read_seeds(folder: Path) -> SeedsRecord | None:
    """Return the group of ``results/<name>``, or None without one.

    Raises `DataError` where the record is damaged.
    """
    path = folder / SEEDS_FILE
    way_out = f"Make it again with the command that made it: pipeline train name={folder.name} …"
    return read_record(path, SeedsRecord, way_out=way_out) if path.is_file() else None


def _counted(number: int) -> str:
    return f"{number} seed{'' if number == 1 else 's'}"


def _spaced(words: str) -> str:
    """Write ``99.31%`` as ``99.31 %``."""
    return words.replace("%", " %")
