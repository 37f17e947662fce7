"""The cost of a sweep beside its trials: bytes and milliseconds of each step, as the study grows.

    python benchmarks/scale.py [--trials 2000] [--workers 4] [--sampler tpe]
                               [--storage postgresql://user@host/db]

The workers are processes of their own that share one study, as in a sweep with n_jobs. The task
only reports five epochs, so the benchmark measures the sweep's own work: claim a slot, ask for a
point, report epochs, tell the result. It prints one line per tenth of the trials, and fails where
the trials done are not exactly those asked for. `record_scale.py` does the same for MLflow.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import platform
import resource
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sql

from pipeline.config import sweep_options
from pipeline.sweep.budget import Budget, Slot
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
# About which trial → the trials whose median stands for it.
WINDOWS = {
    10: slice(1, 20),
    100: slice(50, 150),
    1_000: slice(900, 1_000),
    10_000: slice(9_900, 10_000),
}
ROOT = Path(__file__).parents[1]


class NoTask(Worker):
    """Reports five values and returns the last; notes the milliseconds of each step of its trials.

    rows: for each trial its number in the budget and its milliseconds by step; of the reports, the
    mean of one.
    """

    def __init__(self, plan: WorkerPlan) -> None:
        super().__init__(plan, hydra_context=None, config=None, task_function=None)
        self.rows: list[dict[str, float]] = []
        self.spent: defaultdict[str, float] = defaultdict(float)
        for kind, name, step in (
            (Budget, "claim", "claim"),
            (Worker, "_trial", "ask"),
            (type(plan.space), "suggest", "suggest"),
            (RunningTrial, "report", "report"),
            (optuna.Study, "tell", "tell"),
            (Worker, "_attempt", "whole"),
        ):
            timed(kind, name, step, self.spent)

    def _attempt(self, study: Any, budget: Any, slot: Slot, lease: Any, trial_log: Any) -> bool:
        finished = super()._attempt(study, budget, slot, lease, trial_log)
        self.spent["report"] /= EPOCHS
        self.rows.append({"number": slot.number, **self.spent})
        self.spent.clear()
        return finished

    def _job(self, number: int, overrides: list[str], *, seed: int | None = None) -> Any:
        from hydra.core.utils import JobReturn, JobStatus

        trial = current_trial()
        assert trial is not None
        value = float(trial.params["a"] + trial.params["f"])
        for epoch in range(EPOCHS):
            trial.report(value + 1 / (epoch + 1), step=epoch)
        return JobReturn(_return_value=value, status=JobStatus.COMPLETED)


@dataclass(frozen=True)
class Work:
    """What one worker did.

    finished: trials.  rows: see `NoTask`.  peak: memory in MB.
    """

    finished: int
    statements: int
    rows: list[dict[str, float]]
    peak: float


def timed(kind: type, name: str, step: str, spent: defaultdict[str, float]) -> None:
    """Let a method add its milliseconds to those of a step."""
    function: Callable[..., Any] = getattr(kind, name)

    def measured(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            spent[step] += 1000 * (time.perf_counter() - began)

    setattr(kind, name, measured)


def work(plan: WorkerPlan) -> Work:
    """Run trials until the budget is used."""
    worker = NoTask(plan)
    statements: Counter[str] = Counter()
    sql.event.listen(
        sql.Engine, "before_cursor_execute", lambda *_: statements.update(["statement"])
    )
    with Path(os.devnull).open("w") as quiet, contextlib.redirect_stdout(quiet):
        finished = worker.work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Work(finished, statements.total(), worker.rows, peak)


def new_plan(url: str, *, trials: int, sampler: str, pruner: str) -> WorkerPlan:
    """Return a plan with the pipeline's own settings for this sampler and this pruner."""
    chosen = [f"hydra/sweeper/sampler={sampler}", f"hydra/sweeper/pruner={pruner}"]
    options = sweep_options([*chosen, "hydra.sweeper.sampler.seed=0"], root=ROOT)
    return WorkerPlan(
        storage=url,
        study_name=f"scale-{time.time_ns()}",
        space=parse_space(SEARCH),
        directions=("minimize",),
        n_trials=trials,
        enumerate_all=False,
        sampler={key: value for key, value in options["sampler"].items() if value is not None},
        pruner={key: value for key, value in options["pruner"].items() if value is not None},
        max_failures=0,
        max_attempts=3,
        lease=60,
    )


def sweep(plan: WorkerPlan, *, workers: int) -> None:
    """Run a study with workers side by side, and print what each trial cost."""
    total = plan.n_trials
    database = open_storage(plan.storage)
    signature = plan.space.signature()
    study = open_study(
        database, plan.study_name, directions=["minimize"], signature=signature, folder=""
    )
    Budget(database.engine, plan.study_name, lease=60).fill(total)
    empty = stored(database.engine)

    # The clock starts when every worker has imported all that it needs.
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(workers + 1)
    with ProcessPoolExecutor(workers, context, initializer=ready.wait) as pool:
        parts = [pool.submit(work, plan) for _ in range(workers)]
        ready.wait()
        began = time.perf_counter()
        done = [part.result() for part in parts]
        seconds = time.perf_counter() - began
    rows = sorted((row for each in done for row in each.rows), key=lambda row: row["number"])
    check_total(study, done, total=total)

    print(
        f"\n{database.engine.dialect.name}, {plan.sampler['name']}, pruner {plan.pruner['name']}, "
        f"{workers} workers, {total} trials of {EPOCHS} reports, load {os.getloadavg()[0]:.1f}:"
    )
    print_table(rows)
    print_growth(rows)
    print(
        f"all {total} trials done once, in {seconds:.0f} s: {total / seconds:.1f} trials/s\n"
        f"{sum(each.statements for each in done) / total:.1f} statements a trial; "
        f"{(stored(database.engine) - empty) / total:,.0f} bytes a trial; "
        f"peak memory of a worker {max(each.peak for each in done):,.0f} MB"
    )


def check_total(study: optuna.Study, done: Sequence[Work], *, total: int) -> None:
    """End the benchmark with an error unless every trial was done exactly once."""
    states = Counter(trial.state.name for trial in study.get_trials(deepcopy=False))
    numbers = {int(row["number"]) for each in done for row in each.rows}
    finished = sum(each.finished for each in done)
    ended = states["COMPLETE"] + states["PRUNED"]
    if not (finished == ended == states.total() == len(numbers) == total):
        raise SystemExit(
            f"WRONG TOTAL: {total} trials were asked for, the workers finished {finished} of "
            f"{len(numbers)} slots, and the study has {dict(states)}"
        )


def print_table(rows: Sequence[Mapping[str, float]]) -> None:
    """Print the milliseconds of each step for each tenth of the trials."""
    print("median ms (90 %)")
    print("trials        claim        ask      suggest  one report         tell   whole trial")
    tenth = max(1, len(rows) // 10)
    for start in range(0, len(rows), tenth):
        cells = []
        for step in STEPS:
            part = sorted(row[step] for row in rows[start : start + tenth])
            cells.append(f"{statistics.median(part):6.1f} ({part[int(0.9 * len(part))]:.1f})")
        print(f"{start:6d}  " + "  ".join(cells))


def print_growth(rows: Sequence[Mapping[str, float]]) -> None:
    """Print the milliseconds of a trial early and late, and the ratio to those at trial 100."""
    costs = {}
    for around, window in WINDOWS.items():
        if len(rows) >= window.stop:
            costs[around] = statistics.median(row["whole"] for row in rows[window])
    cells = [f"around trial {around:,} {cost:.1f} ms" for around, cost in costs.items()]
    if 100 in costs:
        cells.append(f"the last over that at 100: {list(costs.values())[-1] / costs[100]:.2f}")
    print("; ".join(cells))


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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--storage", default="")
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--pruner", default="successive_halving")
    parser.add_argument("--tpe", action="store_true", help="TPE alone, up to 10,000 trials")
    given = parser.parse_args()
    print(
        f"{os.cpu_count()} cores, Python {platform.python_version()}, "
        f"optuna {optuna.__version__}, SQLAlchemy {sql.__version__}"
    )
    with tempfile.TemporaryDirectory() as folder:
        if given.trials:
            url = given.storage or f"sqlite:///{Path(folder) / 'optuna.db'}"
            plan = new_plan(url, trials=given.trials, sampler=given.sampler, pruner=given.pruner)
            sweep(plan, workers=given.workers)
        if given.tpe:
            tpe()


if __name__ == "__main__":
    main()
