"""kill -9 in the middle of sweeps: is every trial finished once, in Optuna and in MLflow?

    python benchmarks/killed_sweeps.py --rounds 20 [--first 0]

Each round is a fresh study of real trainings (the small MNIST of the tests, two workers). It is
killed twice at random moments: one worker that has a trial, the parent alone, or everything. Then
the same command runs to its end. The round passes if every trial of the budget ended once and none
is left RUNNING, and if MLflow has one ended run of the same outcome for each trial, and one for the
study. A round's number is its seed: rounds can run in portions.

Starting a dozen processes would take most of a round: 6 to 13 s of imports each. So the processes
are forks of this one, which has imported everything, the workers too (joblib's start method
"fork"). --fresh starts every process from nothing, as a person's command does.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
os.environ.pop("MLFLOW_TRACKING_URI", None)  # each round has a store of its own
sys.path.insert(0, str(ROOT / "src"))

from pipeline import cli  # noqa: E402

WAYS = ("worker", "parent", "everything")
# A trial's state in Optuna → the status of its run in MLflow.
ENDED = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}


def project(folder: Path) -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    from small_mnist import write_prepared

    shutil.copytree(ROOT / "conf", folder / "conf")
    (folder / "mlruns").mkdir()
    write_prepared(folder / "data" / "processed" / "mnist")


def command(trials: int) -> list[str]:
    words = [
        "train",
        "-m",
        "sweep=optimizer",
        f"n_trials={trials}",
        "n_jobs=2",
        "trainer.max_epochs=3",
    ]
    # Short trials: a kill falls more often between two steps of the record.
    words += ["model.width=32", "data.fraction=0.25", "trainer.sample_size=100"]
    return [*words, "study_name=faults", "hydra.sweeper.max_failure_rate=1"]


class Forked:
    """The command in a fork of this process, with a session of its own."""

    def __init__(self, folder: Path, words: list[str]) -> None:
        sys.stdout.flush()
        self.code: int | None = None
        self.pid = os.fork()
        if self.pid:
            return
        os.setsid()
        os.chdir(folder)
        log = os.open(folder / "log.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = ["pipeline", *words]
        code = 1
        try:
            code = cli.main()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)

    def poll(self) -> int | None:
        return self._wait(os.WNOHANG)

    def wait(self, timeout: float = 600) -> int:
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise TimeoutError(f"the sweep did not end within {timeout:g} s")
            time.sleep(0.05)
        return code

    def _wait(self, options: int) -> int | None:
        if self.code is None:
            pid, status = os.waitpid(self.pid, options)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code


Process = Forked | subprocess.Popen[bytes]


def start(folder: Path, trials: int, *, fresh: bool) -> Process:
    if not fresh:
        return Forked(folder, command(trials))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", *command(trials)],
            cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def import_everything() -> None:
    import mlflow
    import pytorch_lightning
    from joblib.externals.loky.backend.context import set_start_method

    import pipeline.commands.train_job
    import pipeline.sweep.sweeper

    assert mlflow and pytorch_lightning and pipeline.commands.train_job and pipeline.sweep.sweeper
    set_start_method("fork", force=True)


def query(path: Path, text: str) -> list[tuple[object, ...]]:
    if not path.is_file():
        return []
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as database:
        try:
            return database.execute(text).fetchall()
        except sqlite3.OperationalError:  # the schema is not there yet
            return []


def finished(folder: Path) -> int:
    rows = query(
        folder / "optuna.db", "select count(*) from pipeline_tickets where outcome is not null"
    )
    return int(str(rows[0][0])) if rows else 0


def members(group: int) -> list[int]:
    """The processes of a session, without its leader."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != group:
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                found += [int(entry.name)] if int(fields[3]) == group else []
    return found


def working(folder: Path) -> list[int]:
    """The processes that have a trial in hand."""
    held = "select owner from pipeline_tickets where outcome is null and owner is not null"
    return [int(str(owner).split("|")[-3]) for (owner,) in query(folder / "optuna.db", held)]


def kill(process: Process, way: str, dice: random.Random, folder: Path) -> None:
    everybody = members(process.pid)
    workers = [pid for pid in working(folder) if pid in everybody] or everybody
    if way == "worker":
        victims = [dice.choice(workers)] if workers else []
    else:
        victims = [process.pid] if way == "parent" else [process.pid, *everybody]
    for pid in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wrong(folder: Path, trials: int) -> list[str]:
    """Return what is wrong after the last run, one sentence each; empty where all is well."""
    optuna, mlflow = folder / "optuna.db", folder / "mlflow.db"
    states = {int(str(n)): str(s) for n, s in query(optuna, "select number, state from trials")}
    found = [f"Optuna: trial {n} is {s}" for n, s in states.items() if s not in ENDED]
    if set(states) != set(range(trials)):
        found.append(f"Optuna: {len(states)} trials, not {trials}")
    slots = query(
        optuna, "select count(distinct value_json) from trial_user_attributes where key = 'ticket'"
    )
    if slots != [(trials,)]:
        found.append(f"Optuna: trials of {slots} slots")
    text = (
        "select t.value, r.status from runs r join tags t "
        "on t.run_uuid = r.run_uuid and t.key = 'optuna.trial'"
    )
    runs = [(int(str(n)), str(status)) for n, status in query(mlflow, text)]
    if sorted(runs) != sorted((n, ENDED.get(s, "")) for n, s in states.items()):
        statuses, numbers = Counter(s for _, s in runs), {n for n, _ in runs}
        found.append(f"MLflow: runs of trials {statuses}, {len(numbers)} trials")
    parents = query(mlflow, "select status from runs where name = 'faults'")
    if parents != [("FINISHED",)]:
        found.append(f"MLflow: runs of the study {parents}")
    return found


def one_round(index: int, trials: int, *, fresh: bool) -> tuple[bool, str]:
    dice = random.Random(index)
    sessions: list[Process] = []
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            return _round(Path(name), index, trials, dice, sessions, fresh=fresh)
    finally:
        for process in sessions:  # a round that fails or is stopped leaves no process behind
            for pid in (process.pid, *members(process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _round(
    folder: Path,
    index: int,
    trials: int,
    dice: random.Random,
    sessions: list[Process],
    *,
    fresh: bool,
) -> tuple[bool, str]:
    """Kill a sweep twice, run it to its end; return whether all is well, and a summary."""
    project(folder)
    ways = [WAYS[index % 3], dice.choice(WAYS)]
    points = sorted(dice.sample(range(trials - 2), 2))
    for way, point in zip(ways, points, strict=True):
        sessions.append(process := start(folder, trials, fresh=fresh))
        while process.poll() is None and finished(folder) < point:
            time.sleep(0.02)
        time.sleep(dice.random() * 0.5)  # somewhere within a trial
        kill(process, way, dice, folder)
        if way != "worker":  # after a killed worker the same command has to go on by itself
            process.wait()
    sessions.append(last := start(folder, trials, fresh=fresh))
    code = last.wait(timeout=600)
    for process in sessions:
        process.wait(timeout=600)
    found = [*([f"exit code {code}"] if code else []), *wrong(folder, trials)]
    states = Counter(str(s) for (s,) in query(folder / "optuna.db", "select state from trials"))
    again = query(folder / "optuna.db", "select count(*) from pipeline_tickets where attempts > 1")
    num_again = again[0][0] if again else 0
    summary = f"{'+'.join(ways)} at {points}: {dict(states)}, begun again {num_again}"
    lines = [summary, *(f"  {line}" for line in found)]
    if found:
        lines.append((folder / "log.txt").read_text()[-1500:])
    return not found, "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument(
        "--within", type=float, default=float("inf"), help="begin no round after these seconds"
    )
    parser.add_argument("--fresh", action="store_true", help="start every process from nothing")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    if not options.fresh:
        import_everything()
    passed = run = 0
    start_s = time.perf_counter()
    for index in range(options.first, options.first + options.rounds):
        began = time.perf_counter()
        if began - start_s > options.within:
            break
        run += 1
        good, summary = one_round(index, options.trials, fresh=options.fresh)
        passed += good
        verdict, seconds = "ok  " if good else "LOST", time.perf_counter() - began
        print(f"round {index}: {verdict} {summary}  {seconds:.0f} s", flush=True)
    print(f"sweeps: tried {run}, survived {passed}, lost {run - passed}")
    sys.exit(passed != run)


if __name__ == "__main__":
    main()
