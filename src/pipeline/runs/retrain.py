"""The best trials again with fresh seeds: how much of their lead remains.

Each finished run is a line of ``retrained.csv``, so that an interrupted command resumes there.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from pipeline.config import RunConfig, compose
from pipeline.data.prepared import card_of, prepared_folder
from pipeline.data.store import load_prepared
from pipeline.errors import TrainingError
from pipeline.files import write_atomically
from pipeline.records import Prepared
from pipeline.runs.sweep_record import KIND, STUDY
from pipeline.sweep.analysis import FinishedTrial, StudyRecord
from pipeline.tracking import NoRun, Run, new_key, open_tracker

FIRST_SEED = 1000
RETRAINED, SEED, PARENT = "optuna.retrained_trial", "retrain.seed", "mlflow.parentRunId"
_HEAD = ("trial", "seed", "value")


def fresh_seeds(record: StudyRecord, count: int) -> list[int]:
    """Return seeds that no trial of the study has had."""
    fixed = {int(o[5:]) for o in record.fixed if re.fullmatch(r"seed=\d+", o)}
    used = fixed | {t.params.get("seed") for t in record.trials}
    used |= {seed for t in record.trials if t.over_seeds for seed in t.over_seeds.seeds}
    return [s for s in range(FIRST_SEED, FIRST_SEED + count + len(used)) if s not in used][:count]


def read_retrained(path: Path) -> dict[tuple[int, int], float]:
    """Return (trial, seed) → value; NaN for a run that failed; empty without the file."""
    if not path.is_file():
        return {}
    with path.open(newline="") as lines:
        return {(int(r["trial"]), int(r["seed"])): float(r["value"]) for r in csv.DictReader(lines)}


def by_trial(values: Mapping[tuple[int, int], float]) -> dict[int, list[float]]:
    """Return trial → its values over seeds, without failed runs."""
    kept: dict[int, list[float]] = {}
    for (trial, _), value in sorted(values.items()):
        if math.isfinite(value):
            kept.setdefault(trial, []).append(value)
    return kept


def retrain(
    record: StudyRecord,
    trials: Sequence[FinishedTrial],
    *,
    seeds: Sequence[int],
    path: Path,
    root: Path,
) -> dict[tuple[int, int], float]:
    """Train every trial with every seed that ``path`` does not have yet; return all values."""
    values = read_retrained(path)
    missing = [(t, s) for t in trials for s in seeds if (t.number, s) not in values]
    for index, (trial, seed) in enumerate(missing, start=1):
        value = _value(record, trial, seed, root=root)
        values[trial.number, seed] = value
        _write(path, values)
        print(f"[{index}/{len(missing)}] #{trial.number} seed {seed}: {value:.5g}", flush=True)
    return values


def _write(path: Path, values: Mapping[tuple[int, int], float]) -> None:
    lines = io.StringIO()
    rows = sorted((trial, seed, repr(value)) for (trial, seed), value in values.items())
    csv.writer(lines, lineterminator="\n").writerows([_HEAD, *rows])
    write_atomically(path, lines.getvalue().encode())


@cache
def _prepared(folder: Path) -> Prepared:
    return load_prepared(folder)


def _value(record: StudyRecord, trial: FinishedTrial, seed: int, *, root: Path) -> float:
    """Train a trial with another seed; return its first objective, or NaN where it diverged."""
    # Here: a report that trains nothing loads neither torch nor Lightning.
    from pipeline.runs.network import untrained_network
    from pipeline.runs.tracked import Curves, record_kept
    from pipeline.runs.train_once import train_once

    overrides = [o for o in record.overrides(trial) if not o.startswith("seed=")]
    config = compose([*overrides, f"seed={seed}"], root=root)
    card_of(config.settings.data, root=root)
    data = _prepared(prepared_folder(config.settings.data.name, root=root))
    network = untrained_network(config.settings, data.card, root=root)
    try:
        with _tracked(record, trial, config, root=root) as run:
            trained = train_once(
                network, data, config, observers=[Curves(run).of_epoch], show_progress=True
            )
            record_kept(run, trained)
    except TrainingError:
        # A divergence is a result of this configuration, not the end of the report.
        return math.nan
    return float(trained.numbers[record.objectives[0]])


@contextmanager
def _tracked(
    record: StudyRecord, trial: FinishedTrial, config: RunConfig, *, root: Path
) -> Iterator[Run]:
    """Open the tracked run of a trial with another seed, or resume it; it belongs to the study."""
    tracker = open_tracker(config.settings.tracking, root=root)
    if tracker is None:
        yield NoRun()
        return
    seed = str(config.settings.seed)
    identity = {STUDY: record.name, RETRAINED: str(trial.number), SEED: seed}
    parent = {PARENT: record.parent_run} if record.parent_run else {}
    with tracker.recording(
        f"#{trial.number} seed {seed}",
        tags={**identity, KIND: "retrain", **parent},
        params=config.values,
        key=new_key("retrain", record.parent_run or record.name, str(trial.number), seed),
    ) as run:
        yield run
