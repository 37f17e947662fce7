"""Trainings beside a server that dies: how much slower are they, and is a row lost or doubled?

    OMP_NUM_THREADS=1 python benchmarks/dead_server.py --pairs 3 [--way killed]
    OMP_NUM_THREADS=1 python benchmarks/dead_server.py --turns 30 [--way killed]
    OMP_NUM_THREADS=1 python benchmarks/dead_server.py --sweeps 1 [--way killed]

Each pair trains the small MNIST of the tests twice, as `pipeline train` does: beside a server that
works, and beside one that fails after the second epoch in a way (killed, stopped, slow, failing,
absent). Which comes first alternates. Then the server works again, `pipeline sync` runs, and the
rows of the server's database are counted against the epochs of ``history.csv``. The slowdown
compares the time of the epochs, which is the training's own, and the whole command, which waits at
its end.

On a busy machine two equal trainings differ by more than a server costs. With ``--turns`` one
training goes through both states in turns of a few seconds, and each turn beside a broken server is
compared with the two around it.

With ``--sweeps`` no training is timed: so many sweeps in each way run beside a server that fails
after their first trial. A trial must not fail, each row of each trial must be in the server's
database once after `pipeline sync`, and the rows of a series must be in the order of their epochs.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from scipy.stats import t

ROOT = Path(__file__).parents[1]
SOURCES = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "tests")]

from tests.tracking.faulty_server import Proxy, Server, rows  # noqa: E402

from pipeline.runs.files import RunFiles  # noqa: E402

WAYS = ("killed", "stopped", "slow", "failing", "absent")
_PLANS = {"failing": "500", "slow": "slow"}  # what each answer of the proxy is
TRAINING = ["model.width=64", "trainer.sample_size=200", "tracking.model=false"]


def pipeline(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": SOURCES}
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", *words],
            cwd=folder, env=environment, stdout=log, stderr=log,
        )  # fmt: skip


def project(folder: Path) -> Path:
    from small_mnist import write_prepared

    shutil.copytree(ROOT / "conf", folder / "conf")
    (folder / "mlruns").mkdir()
    write_prepared(folder / "data" / "processed" / "mnist")
    return folder


def make_store(path: Path) -> None:
    """Make MLflow's schema: a server that is killed while it makes it has a broken database."""
    from pipeline.tracking.store import Store

    _ = Store(f"sqlite:///{path}", root=path.parent).client


def epochs_begun(folder: Path) -> int:
    log = folder / "log.txt"
    return log.read_text().count("epoch ") if log.is_file() else 0


def trained(folder: Path, server: Server, way: str, epochs: int) -> tuple[float, float]:
    """Train beside a server that fails in a way; return (seconds of the epochs, of the command)."""
    proxy = Proxy(server.port)
    try:
        began = time.perf_counter()
        words = [*TRAINING, f"trainer.max_epochs={epochs}", f"tracking.uri={proxy.url}"]
        if way == "absent":
            server.kill()
        process = pipeline(folder, "train", *words)
        while way not in ("", "absent") and epochs_begun(folder) < 2 and process.poll() is None:
            time.sleep(0.05)
        if way and way != "absent":
            break_it(server, proxy, way)
        if process.wait() != 0:
            sys.exit((folder / "log.txt").read_text())
        command_s = time.perf_counter() - began
        mend(server, proxy, way)
        if pipeline(folder, "sync").wait() != 0:
            sys.exit((folder / "log.txt").read_text())
    finally:
        proxy.close()
    rows = RunFiles(folder, "mlp").read_history()
    return sum(row.metrics["time/epoch_s"] for row in rows), command_s


def break_it(server: Server, proxy: Proxy, way: str) -> None:
    """Break a server in a way. absent: it is killed as well, and was never there before."""
    if way in ("killed", "absent"):
        server.kill()
    if way == "stopped":
        server.signal(signal.SIGSTOP)
    if way in _PLANS:
        proxy.plan = [_PLANS[way]] * 100_000


def mend(server: Server, proxy: Proxy, way: str) -> None:
    if way == "stopped":
        server.signal(signal.SIGCONT)
    if way in ("killed", "absent"):
        server.start()
    proxy.plan = []


TURN_S = 6.0
SETTLED_S = 1.0  # after a change of state, epochs belong to neither


def in_turns(folder: Path, server: Server, way: str, turns: int) -> list[float]:
    """Train while a server breaks and comes back; return the seconds of an epoch in each turn.

    The server works in the first turn, in the last, and in every second one: beside ``turns`` turns
    with a broken one there are ``turns + 1`` with a working one.
    """
    proxy, changes = Proxy(server.port), list[float]()
    process = pipeline(
        folder, "train", *TRAINING, "trainer.max_epochs=20000", f"tracking.uri={proxy.url}"
    )
    try:
        while epochs_begun(folder) < 5 and process.poll() is None:
            time.sleep(0.05)
        for turn in range(2 * turns + 1):
            if turn:
                (break_it if turn % 2 else mend)(server, proxy, way)
            changes.append(time.time())
            time.sleep(TURN_S)
        if process.poll() is not None:
            sys.exit((folder / "log.txt").read_text())
        changes.append(time.time())
    finally:
        process.terminate()
        process.wait()
        mend(server, proxy, way)
    pipeline(folder, "sync").wait()
    proxy.close()
    query = "select timestamp from metrics where key = 'train/loss' order by step"
    ends = [ended_ms / 1000 for (ended_ms,) in rows(server.folder / "server.db", query)]
    found = []
    for start, stop in pairwise(changes):
        inside = [end for end in ends if start + SETTLED_S < end < stop]
        found.append((inside[-1] - inside[0]) / (len(inside) - 1))
    return found


def log_ratios(seconds: Sequence[float]) -> list[float]:
    """Compare each turn beside a broken server with the two turns around it.

    A training slows down as its history grows, and a machine has better and worse minutes: what
    changes evenly over three turns is the same for both.
    """
    logs = [math.log(each) for each in seconds]
    return [logs[i] - (logs[i - 1] + logs[i + 1]) / 2 for i in range(1, len(logs) - 1, 2)]


def slowdown(way: str, turns: int, empty: Path) -> None:
    """Print how much longer an epoch takes beside a broken server, with a 95 % t interval."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = project(Path(name))
        server = Server(folder)
        shutil.copyfile(empty, folder / "server.db")
        try:
            server.start()
            seconds = in_turns(folder, server, way, turns)
        finally:
            server.signal(signal.SIGCONT) if server.process else None
            server.kill()
    ratios = log_ratios(seconds)
    mean = statistics.fmean(ratios)
    reach = float(t.ppf(0.975, len(ratios) - 1)) * statistics.stdev(ratios) / len(ratios) ** 0.5
    low, high = math.exp(mean - reach), math.exp(mean + reach)
    print(
        f"{way}: an epoch takes {math.exp(mean):.3f} times as long [{low:.3f}, {high:.3f}] "
        f"({len(ratios)} turns of {TURN_S:g} s beside a broken server; an epoch takes "
        f"{seconds[0]:.3f} s in the first turn, {seconds[-1]:.3f} s in the last)",
        flush=True,
    )


def lost_and_doubled(folder: Path, server: Server) -> tuple[int, int]:
    """Compare the server's rows of the project's last run with its history."""
    query = "select run_uuid from runs order by start_time desc limit 1"
    ((run_id,),) = rows(server.folder / "server.db", query)
    of_run = f"select key, step from metrics where run_uuid = '{run_id}'"
    found = rows(server.folder / "server.db", of_run)
    with (folder / "results" / "mlp" / "history.csv").open(newline="") as lines:
        table = list(csv.DictReader(lines))
    names = [name for name in table[0] if name not in ("epoch", "step")]
    wanted = {(name, int(row["epoch"]) + 1) for row in table for name in names}
    return len(wanted - set(found)), len(found) - len(set(found))


# ---- sweeps -----------------------------------------------------------------------------------

TRIALS = 6
# Rates that are all sound: a trial that fails has failed for the server.
SWEEP = ["-m", "optimizer.learning_rate=5e-4,1e-3,2e-3", "seed=0,1", "n_jobs=2"]
SHORT = ["model.width=32", "data.fraction=0.25", "trainer.sample_size=100", "trainer.max_epochs=4"]


@dataclass(frozen=True)
class Outcome:
    """What a sweep has lost.

    failed: trials that did not end well.  lost, doubled: rows.  unordered: series whose rows are
    not in the order of their epochs.  open: runs that are not ended.
    """

    failed: int
    lost: int
    doubled: int
    unordered: int
    open: int

    @property
    def survived(self) -> bool:
        """Whether nothing was lost."""
        return not any(vars(self).values())


def trials_done(folder: Path) -> int:
    path = folder / "optuna.db"
    if not path.is_file():
        return 0
    try:
        ((count,),) = rows(path, "select count(*) from pipeline_tickets where outcome is not null")
    except sqlite3.OperationalError:  # the schema is not there yet
        return 0
    return int(count)


def swept(folder: Path, server: Server, way: str) -> Outcome:
    """Sweep beside a server that fails in a way, mend it, and count."""
    proxy = Proxy(server.port)
    try:
        if way == "absent":
            break_it(server, proxy, way)
        process = pipeline(folder, "train", *SWEEP, *SHORT, f"tracking.uri={proxy.url}")
        while way != "absent" and trials_done(folder) < 1 and process.poll() is None:
            time.sleep(0.05)
        if way != "absent":
            break_it(server, proxy, way)
        if process.wait() != 0:
            sys.exit((folder / "log.txt").read_text())
        mend(server, proxy, way)
        if pipeline(folder, "sync").wait() != 0:
            sys.exit((folder / "log.txt").read_text())
    finally:
        proxy.close()
    return counted(folder, server.folder / "server.db")


def counted(folder: Path, database: Path) -> Outcome:
    """Compare the server's rows of all trials with the histories of the trials' folders."""
    ended = rows(folder / "optuna.db", "select state from trials")
    failed = sum(state not in ("COMPLETE", "PRUNED") for (state,) in ended)
    lost = doubled = unordered = 0
    of_trials = "select r.run_uuid, t.value from runs r join tags t on t.run_uuid = r.run_uuid"
    runs = rows(
        database, f"{of_trials} and t.key = 'optuna.trial' where r.lifecycle_stage = 'active'"
    )
    by_trial = {int(number): run_id for run_id, number in runs}
    tables = list(folder.glob("multirun/*/*/*/results/*/history.csv"))
    for table in tables:
        run_id = by_trial.get(int(table.parents[2].name), "")
        in_order = f"where run_uuid = '{run_id}' order by key, timestamp, step"
        found = rows(database, f"select key, step from metrics {in_order}")
        with table.open(newline="") as lines:
            history = list(csv.DictReader(lines))
        names = [name for name in history[0] if name not in ("epoch", "step")]
        wanted = {(name, int(row["epoch"]) + 1) for row in history for name in names}
        lost += len(wanted - set(found))
        doubled += len(found) - len(set(found))
        steps = {name: [step for key, step in found if key == name] for name in names}
        unordered += sum(series != sorted(series) for series in steps.values())
    still_open = rows(database, "select count(*) from runs where status = 'RUNNING'")[0][0]
    failed += TRIALS - len(tables)
    doubled += len(runs) - len(by_trial)
    return Outcome(failed, lost, doubled, unordered, int(still_open))


def sweeps(ways: Sequence[str], count: int, empty: Path) -> bool:
    """Run so many sweeps in each way; return whether all were survived."""
    survived = 0
    for way in ways:
        for _ in range(count):
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
                folder = project(Path(name))
                server = Server(folder)
                shutil.copyfile(empty, folder / "server.db")
                try:
                    server.start()
                    outcome = swept(folder, server, way)
                finally:
                    server.signal(signal.SIGCONT) if server.process else None
                    server.kill()
            survived += outcome.survived
            print(f"{way}: {'ok  ' if outcome.survived else 'LOST'} {outcome}", flush=True)
    tried = len(ways) * count
    print(f"sweeps: tried {tried}, survived {survived}, lost {tried - survived}")
    return survived == tried


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument(
        "--turns", type=int, default=0, help="of one training, beside a broken server"
    )
    parser.add_argument("--sweeps", type=int, default=0, help="sweeps in each way, in place of it")
    parser.add_argument("--way", choices=WAYS, action="append")
    options = parser.parse_args()
    empty = Path(tempfile.mkdtemp()) / "mlflow.db"
    make_store(empty)
    if options.sweeps:
        sys.exit(not sweeps(options.way or WAYS, options.sweeps, empty))
    if options.turns:
        for way in options.way or WAYS:
            slowdown(way, options.turns, empty)
        return
    pairs(options.way or WAYS, options.pairs, options.epochs, empty)


def pairs(ways: Sequence[str], num_pairs: int, epochs: int, empty: Path) -> None:
    """Train in pairs, count rows, and end with an error where one is lost or doubled."""
    lost = doubled = tried = survived = 0
    for way in ways:
        ratios, waits = [], []
        for pair in range(num_pairs):
            took: dict[str, tuple[float, float]] = {}
            for kind in ("", way) if pair % 2 else (way, ""):
                with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
                    folder = project(Path(name))
                    server = Server(folder)
                    shutil.copyfile(empty, folder / "server.db")
                    try:
                        server.start()
                        took[kind] = trained(folder, server, kind, epochs)
                        counts = lost_and_doubled(folder, server)
                    finally:
                        server.signal(signal.SIGCONT) if server.process else None
                        server.kill()
                lost, doubled = lost + counts[0], doubled + counts[1]
                tried, survived = tried + bool(kind), survived + bool(kind and not any(counts))
            ratios.append(took[way][0] / took[""][0])
            waits.append(took[way][1] - took[""][1])
        print(
            f"{way}: epochs take {statistics.median(ratios):.3f} times as long, the command "
            f"{statistics.median(waits):+.1f} s (median of {num_pairs} pairs)",
            flush=True,
        )
    print(f"rows lost: {lost}, doubled: {doubled}")
    print(f"servers: tried {tried}, survived {survived}, lost {tried - survived}")
    sys.exit(bool(lost or doubled))


if __name__ == "__main__":
    main()
