"""kill -9 in the middle of `seeds=5`: is every seed trained once, and the mean the true one?

    python benchmarks/killed_seeds.py --kills 10 [--rounds 1] [--first 0]

A round trains one small setting with five seeds (the small MNIST of the tests, two workers). The
command is killed ten times at random moments of its trainings, evaluations and record: one worker,
the command alone, or everything. Then it runs to its end. The round passes if MLflow has exactly
five finished children and one finished parent, and if every mean of `seeds.json` and of the parent
equals, to the last digit, the one computed here from the five evaluations. A round's number is its
seed. The processes are forks, as in `killed_sweeps.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import signal
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

from killed_sweeps import (
    WAYS,
    Forked,
    finished,
    import_everything,
    kill,
    members,
    project,
    query,
    working,
)
from pipeline.evaluation.metrics_files import read_metrics

NAME = "killed"
STAGE_S = 300.0  # a stage takes seconds, also on a busy machine
CHILDREN = (
    "select r.name from runs r join tags t on t.run_uuid = r.run_uuid "
    "and t.key = 'mlflow.parentRunId' where r.status = 'FINISHED'"
)


def command(seeds: int) -> list[str]:
    words = ["train", f"name={NAME}", f"seeds={seeds}", "n_jobs=2", "trainer.max_epochs=12"]
    words += ["model.width=32", "data.fraction=0.5", "trainer.sample_size=100"]
    return [*words, "evaluation.num_resamples=100", "evaluation.corruptions=[]"]


def metrics_of(folder: Path, seed: int) -> dict[str, float]:
    return read_metrics(folder / "results" / f"{NAME}_seed{seed}")


def exact_mean(values: list[float]) -> float:
    """The mean by fractions, rounded once at the end."""
    return float(sum(map(Fraction, values)) / len(values))


def wrong_runs(folder: Path, seeds: int) -> list[str]:
    """Return what is wrong with the runs in MLflow, one sentence each."""
    store = folder / "mlflow.db"
    runs = query(store, "select run_uuid, name, status from runs")
    children = query(
        store,
        "select r.name, r.status, t.value from runs r join tags t "
        "on t.run_uuid = r.run_uuid and t.key = 'mlflow.parentRunId' order by r.name",
    )
    parents = [run for run in runs if run[1] == f"{NAME}, {seeds} seeds"]
    found = []
    if [run[2] for run in parents] != ["FINISHED"]:
        found.append(f"MLflow: parents {parents}")
    wanted = [(f"{NAME}_seed{s}", "FINISHED", parents[0][0] if parents else "") for s in
              sorted(range(seeds), key=str)]  # fmt: skip
    if children != wanted:
        found.append(f"MLflow: children {children}")
    if len(runs) != seeds + 1:
        found.append(f"MLflow: {len(runs)} runs, not {seeds + 1}")
    return found


def wrong_means(folder: Path, seeds: int) -> list[str]:
    """Return the means that are not those of the metrics files, one sentence each."""
    each = [metrics_of(folder, seed) for seed in range(seeds)]
    record = json.loads((folder / "results" / NAME / "seeds.json").read_text())
    tracked = dict(
        query(
            folder / "mlflow.db",
            "select m.key, m.value from latest_metrics m join tags t on t.run_uuid = m.run_uuid "
            "and t.key = 'pipeline.kind' and t.value = 'seeds' where m.key like 'mean/%'",
        )
    )
    found = [] if len(record["test"]) >= 30 and "mean/test/accuracy" in tracked else ["no means"]
    for key, summary in record["test"].items():
        mean = exact_mean([metrics[key] for metrics in each])
        if summary["mean"] != mean:
            found.append(f"seeds.json: {key} {summary['mean']!r}, not {mean!r}")
        if not math.isclose(tracked.get(f"mean/{key}", mean), mean, rel_tol=0):
            found.append(f"MLflow: {key} {tracked[f'mean/{key}']!r}, not {mean!r}")
    return found


def one_round(index: int, *, seeds: int, kills: int, longest_s: float) -> tuple[bool, str]:
    """Kill a group so many times, run it to its end; return whether all is well, and a summary."""
    dice, sessions = random.Random(index), list[Forked]()
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            return _round(Path(name), dice, sessions, seeds, kills, longest_s)
    finally:
        for process in sessions:
            for pid in (process.pid, *members(process.pid)):
                _kill(pid)


def _round(
    folder: Path,
    dice: random.Random,
    sessions: list[Forked],
    seeds: int,
    kills: int,
    longest_s: float,
) -> tuple[bool, str]:
    project(folder)
    hit = started = 0
    # Finished trainings at each kill: all stages, the evaluations and the record too.
    stages = sorted(dice.randrange(seeds + 1) for _ in range(kills))
    while hit < kills:
        started += 1
        sessions.append(process := Forked(folder, command(seeds)))
        until = time.monotonic() + STAGE_S
        while process.poll() is None and not _reached(folder, stages[hit], seeds):
            if time.monotonic() > until:
                raise TimeoutError(f"no further training within {STAGE_S:g} s")
            time.sleep(0.02)
        time.sleep(dice.uniform(0.0, longest_s))
        if process.poll() is None:
            kill(process, way := dice.choice(WAYS), dice, folder)
            hit += 1
            if way == "worker":  # the command goes on by itself, so it is killed too
                time.sleep(dice.random())
                _kill(process.pid)
            process.wait()
    sessions.append(last := Forked(folder, command(seeds)))
    code = last.wait(timeout=900)
    found = [f"exit code {code}"] if code else []
    found += [*wrong_runs(folder, seeds), *wrong_means(folder, seeds)] if not found else []
    again = query(folder / "optuna.db", "select sum(attempts - 1) from pipeline_tickets")
    children = len(query(folder / "mlflow.db", CHILDREN))
    lines = [
        f"{hit} kills after {stages} ended trainings, {started} starts before the last; "
        f"{again[0][0] if again else 0} trainings begun again; {children} finished children"
    ]
    lines += [f"  {line}" for line in found]
    log = (folder / "log.txt").read_text()
    lines.append(log[-1500:] if found else log.splitlines()[-2])
    return not found, "\n".join(lines)


def _reached(folder: Path, stage: int, seeds: int) -> bool:
    """Whether so many trainings have ended, and the next one, if any, is in hand."""
    ended = finished(folder)
    return ended >= stage and (ended == seeds or bool(working(folder)))


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument(
        "--longest", type=float, default=4.0, help="seconds of a stage before its kill, at most"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    import_everything()
    passed = 0
    for index in range(options.first, options.first + options.rounds):
        good, summary = one_round(
            index, seeds=options.seeds, kills=options.kills, longest_s=options.longest
        )
        passed += good
        print(f"round {index}: {'ok  ' if good else 'LOST'} {summary}", flush=True)
    print(f"groups of {options.seeds} seeds: killed {options.rounds}, whole {passed}")
    sys.exit(passed != options.rounds)


if __name__ == "__main__":
    main()
