"""The cost of MLflow's record as it grows: logging a run, looking for one, and the UI's table.

    python benchmarks/record_scale.py [--sizes 1000 10000 100000] [--repeats 10]

A run has 90 parameters and 5 epochs of 12 metrics. Only one run and the measured ones are logged;
all others are rows of that one, copied in SQL with other names, since logging 100,000 runs would
take hours. The UI is a real `pipeline ui` over HTTP, asked as the page of runs asks it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bare_loop import project
from pipeline.records import EpochRecord
from pipeline.tracking.sqlite_store import SqliteStore
from pipeline.tracking.tracker import Tracker

EPOCHS = 5
EXPERIMENT = "scale"
OF_A_RUN = ("tags", "params", "metrics", "latest_metrics")
PATIENCE_S = 300


def log_run(tracker: Tracker, name: str) -> str:
    """Log a run as a training does; return its key."""
    run = tracker.start(
        name,
        tags={"optuna.study": "s", "optuna.trial": name},
        params={f"group.key{i}": 0.1 * i for i in range(90)},
    )
    for epoch in range(EPOCHS):
        metrics = {f"val/m{i}": 0.5 / (epoch + 1) for i in range(12)}
        run.log_epoch(EpochRecord(epoch=epoch, step=epoch, metrics=metrics))
    run.finish()
    return run.key


def grow(database: Path, *, to: int) -> None:
    """Copy the first run until there are as many; each copy has a name and a key of its own."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as store:
        store.execute("PRAGMA cache_size = -500000")
        store.execute("BEGIN")
        (have,) = store.execute("SELECT count(*) FROM runs").fetchone()
        (first,) = store.execute("SELECT min(rowid) FROM runs").fetchone()
        (run,) = store.execute("SELECT run_uuid FROM runs WHERE rowid = ?", (first,)).fetchone()
        store.execute("CREATE TEMP TABLE new (run_uuid TEXT, number INTEGER)")
        numbers = range(have, to)
        store.executemany(
            "INSERT INTO new VALUES (lower(hex(randomblob(16))), ?)", [(i,) for i in numbers]
        )
        for table in ("runs", *OF_A_RUN):
            columns = [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
            other = {
                "run_uuid": "new.run_uuid",
                "name": "'copy ' || new.number" if table == "runs" else "name",
                "start_time": "old.start_time + new.number",
            }
            if table == "tags":
                other["value"] = (
                    "CASE old.key WHEN 'pipeline.key' THEN new.run_uuid ELSE old.value END"
                )
            taken = ", ".join(other.get(column, f"old.{column}") for column in columns)
            store.execute(
                f"INSERT INTO {table} SELECT {taken} FROM {table} AS old, new"
                " WHERE old.run_uuid = ?",
                (run,),
            )
        store.execute("COMMIT")


@contextlib.contextmanager
def served(root: Path) -> Iterator[str]:
    """Start `pipeline ui` in a project, and yield its address when it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "pipeline", "ui", f"port={port}"]
    log = (root / "ui.log").open("w")
    process = subprocess.Popen(command, cwd=root, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=10).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait()
        log.close()


def runs_shown(address: str, experiment: str) -> int:
    """Ask for the first page of the table of runs, as the UI does; return how many it has."""
    wanted = {
        "experiment_ids": [experiment],
        "order_by": ["attributes.start_time DESC"],
        "run_view_type": "ACTIVE_ONLY",
        "max_results": 100,
    }
    request = urllib.request.Request(
        f"{address}/ajax-api/2.0/mlflow/runs/search",
        data=json.dumps(wanted).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        found: dict[str, Any] = json.load(answer)
    return len(found["runs"])


def timed(repeats: int, action: Callable[[int], object]) -> str:
    """Return the median, least and most milliseconds of some calls."""
    times = []
    for number in range(repeats):
        began = time.perf_counter()
        action(number)
        times.append(1000 * (time.perf_counter() - began))
    return f"{statistics.median(times):,.1f} ({min(times):,.1f} … {max(times):,.1f})"


def measure(root: Path, size: int, *, repeats: int) -> None:
    """Print one line of the table for a store of about this many runs."""
    database = root / "mlflow.db"
    uri = f"sqlite:///{database}"
    tracker = Tracker(uri, experiment=EXPERIMENT, root=root)
    key = log_run(tracker, "warm")
    if size > 1:
        grow(database, to=size)
    store = SqliteStore(uri, root=root)
    logged = timed(repeats, lambda number: log_run(tracker, f"measured {number}"))
    looked = timed(repeats, lambda _: store.first_of_key(EXPERIMENT, key))
    with contextlib.closing(sqlite3.connect(database)) as rows:
        (experiment,) = rows.execute(
            "SELECT experiment_id FROM experiments WHERE name = ?", (EXPERIMENT,)
        ).fetchone()
        (runs,) = rows.execute("SELECT count(*) FROM runs").fetchone()
    with served(root) as address:
        wanted = min(100, runs)
        if (shown := runs_shown(address, str(experiment))) != wanted:
            raise SystemExit(f"WRONG PAGE: {shown} of {wanted} runs were shown")
        asked = timed(repeats, lambda _: runs_shown(address, str(experiment)))
    each = database.stat().st_size / runs / 1000
    print(
        f"{runs:7,d}  {logged:>22s}  {looked:>22s}  {asked:>22s} {each:6.1f}"
        f"  {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--repeats", type=int, default=10)
    given = parser.parse_args()
    print(
        f"{os.cpu_count()} cores, Python {platform.python_version()}, mlflow {version('mlflow')}, "
        f"SQLite {sqlite3.sqlite_version}; median ms (least … most), n = {given.repeats}"
    )
    print(
        "   runs           logging a run       looking for a run           the UI's page"
        "  kB/run load"
    )
    with tempfile.TemporaryDirectory() as folder:
        root = project(Path(folder))
        for size in given.sizes:
            measure(root, size, repeats=given.repeats)


if __name__ == "__main__":
    main()
