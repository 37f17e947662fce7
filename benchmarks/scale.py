"""The cost of a sweep beside its trials: bytes and milliseconds of each step, as the study grows.

    python benchmarks/scale.py [--trials 2000] [--storage postgresql://user@host/db]
                               [--sampler tpe] [--mlflow 300]

The task only reports five epochs, so the benchmark measures the sweep's own work: claim a slot, ask
for a point, report epochs, tell the result. It prints one line per tenth of the trials.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import resource
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sql

from pipeline.sweep.budget import Budget
from pipeline.sweep.grammar import parse_space
from pipeline.sweep.plan import WorkerPlan
from pipeline.sweep.samplers import build_sampler
from pipeline.sweep.storage import open_storage
from pipeline.sweep.study import open_study
from pipeline.sweep.trial import RunningTrial, current_trial
from pipeline.sweep.worker import Worker

EPOCHS = 5
SEARCH = [
    "a=interval(0,1)",
    "b=tag(log,interval(1e-8,1e-3))",
    "c=tag(log,interval(1e-7,1e-2))",
    "d=range(1,4)",
    "e=choice(32,64,128,256)",
    "f=interval(0,0.3)",
]
STEPS = ("claim", "ask", "suggest", "report", "tell", "whole")


class NoTask(Worker):
    """Reports five values and returns the last."""

    def _job(self, number: int, overrides: list[str], *, seed: int | None = None) -> Any:
        from hydra.core.utils import JobReturn, JobStatus

        trial = current_trial()
        assert trial is not None
        value = float(trial.params["a"] + trial.params["f"])
        for epoch in range(EPOCHS):
            trial.report(value + 1 / (epoch + 1), step=epoch)
        return JobReturn(_return_value=value, status=JobStatus.COMPLETED)


def timed(kind: type, name: str, step: str, spent: dict[str, list[float]]) -> None:
    """Let a method note its milliseconds under a step."""
    function: Callable[..., Any] = getattr(kind, name)

    def measured(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            spent[step].append(1000 * (time.perf_counter() - began))

    setattr(kind, name, measured)


def new_plan(url: str, *, trials: int, sampler: str, pruner: str) -> WorkerPlan:
    return WorkerPlan(
        storage=url,
        study_name=f"scale-{time.time_ns()}",
        space=parse_space(SEARCH),
        directions=("minimize",),
        n_trials=trials,
        enumerate_all=False,
        sampler={"name": sampler, "seed": 0},
        pruner={"name": pruner},
        max_failures=0,
        max_attempts=3,
        lease=60,
    )


def sweep(url: str, *, trials: int, sampler: str, pruner: str) -> None:
    plan = new_plan(url, trials=trials, sampler=sampler, pruner=pruner)
    name = plan.study_name
    database = open_storage(url)
    signature = plan.space.signature()
    open_study(database, name, directions=["minimize"], signature=signature, folder="")
    Budget(database.engine, name, lease=60).fill(trials)
    empty = stored(database.engine)

    spent: dict[str, list[float]] = defaultdict(list)
    timed(Budget, "claim", "claim", spent)
    timed(Worker, "_trial", "ask", spent)
    timed(type(plan.space), "suggest", "suggest", spent)
    timed(RunningTrial, "report", "report", spent)
    timed(optuna.Study, "tell", "tell", spent)
    timed(Worker, "_attempt", "whole", spent)
    statements: Counter[str] = Counter()
    sql.event.listen(
        sql.Engine, "before_cursor_execute", lambda *_: statements.update(["statement"])
    )
    with Path(os.devnull).open("w") as quiet, contextlib.redirect_stdout(quiet):
        NoTask(plan, hydra_context=None, config=None, task_function=None).work()

    dialect = database.engine.dialect.name
    print(f"\n{dialect}, {sampler}, pruner {pruner}, {trials} trials of {EPOCHS} reports:")
    print_table(spent, trials)
    bytes_each = (stored(database.engine) - empty) / trials
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{statements.total() / trials:.1f} statements a trial; {bytes_each:,.0f} bytes a trial; "
        f"peak memory {peak:,.0f} MB"
    )


def print_table(spent: Mapping[str, Sequence[float]], trials: int) -> None:
    """Print the milliseconds of each step for each tenth of the trials."""
    print("median ms (90 %)")
    print("trials        claim        ask      suggest  one report         tell   whole trial")
    tenth = max(1, trials // 10)
    for start in range(0, trials, tenth):
        cells = []
        for step in STEPS:
            times = EPOCHS if step == "report" else 1
            part = sorted(spent[step][start * times : (start + tenth) * times])
            cells.append(f"{statistics.median(part):6.1f} ({part[int(0.9 * len(part))]:.1f})")
        print(f"{start:6d}  " + "  ".join(cells))


def stored(engine: sql.Engine) -> int:
    """Bytes of the database."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            return int(pages) * int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())
        return int(
            connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
        )


def tpe(sizes: tuple[int, ...] = (100, 1000, 4000, 10000)) -> None:
    """Print the time of one suggestion by TPE over six parameters, without a database.

    sizes: numbers of finished trials that TPE learns from, with its window and without.
    """
    space = parse_space(SEARCH)
    print("\nTPE alone, in memory: trials, median ms (least … most) of 15 suggestions of all six")
    print("parameters, with a window of 300 trials, and without")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for size in sizes:
        study.sampler = optuna.samplers.RandomSampler(seed=size)
        while len(study.get_trials(deepcopy=False)) < size:
            trial = study.ask()
            space.suggest(trial)
            study.tell(trial, trial.params["a"] + trial.params["f"])
        cells = []
        for window in ({"window": 300}, {}):
            times = []
            for seed in range(15):
                study.sampler = build_sampler({"name": "tpe", "seed": seed, **window}, number=0)
                began = time.perf_counter()
                trial = study.ask()
                space.suggest(trial)
                times.append(1000 * (time.perf_counter() - began))
                study.tell(trial, 1.0)
            cells.append(f"{statistics.median(times):8.1f} ({min(times):.1f} … {max(times):.1f})")
        print(f"{size:6d}  {'  '.join(cells)}", flush=True)


def record(runs: int, folder: Path) -> None:
    """Print the cost of MLflow's store for runs of 90 parameters and five epochs of 12 metrics."""
    from pipeline.records import EpochRecord
    from pipeline.tracking import Tracker

    tracker = Tracker(f"sqlite:///{folder / 'mlflow.db'}", experiment="scale", root=folder)
    engine = sql.create_engine(f"sqlite:///{folder / 'mlflow.db'}")
    empty, spent, looked = stored(engine), [], []
    for number in range(runs):
        began = time.perf_counter()
        run = tracker.start(
            f"mlp {number}", tags={"optuna.study": "s", "optuna.trial": str(number)}
        )
        run.log_params({f"group.key{i}": 0.1 * i for i in range(90)})
        for epoch in range(EPOCHS):
            run.log_epoch(
                EpochRecord(epoch=epoch, step=epoch, metrics={f"val/m{i}": 0.5 for i in range(12)})
            )
        run.finish()
        spent.append(1000 * (time.perf_counter() - began))
        if number % 10 == 0:
            began = time.perf_counter()
            tracker.find_tagged({"optuna.study": "s", "optuna.trial": str(number)})
            looked.append(1000 * (time.perf_counter() - began))
    third = max(1, runs // 3)
    early, late = statistics.median(spent[:third]), statistics.median(spent[-third:])
    first, last = statistics.median(looked[:3]), statistics.median(looked[-3:])
    print(
        f"\nMLflow, sqlite, {runs} runs: first third {early:.0f} ms a run, last {late:.0f} ms; "
        f"{(stored(engine) - empty) / runs:,.0f} bytes a run; "
        f"looking for a run by its tags {first:.1f} → {last:.1f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--storage", default="")
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--pruner", default="median")
    parser.add_argument("--mlflow", type=int, default=0, metavar="RUNS")
    parser.add_argument("--tpe", action="store_true", help="TPE alone, up to 10,000 trials")
    given = parser.parse_args()
    print(
        f"{os.cpu_count()} cores, Python {platform.python_version()}, "
        f"optuna {optuna.__version__}, SQLAlchemy {sql.__version__}"
    )
    with tempfile.TemporaryDirectory() as folder:
        if given.trials:
            url = given.storage or f"sqlite:///{Path(folder) / 'optuna.db'}"
            sweep(url, trials=given.trials, sampler=given.sampler, pruner=given.pruner)
        if given.tpe:
            tpe()
        if given.mlflow:
            record(given.mlflow, Path(folder))


if __name__ == "__main__":
    main()
