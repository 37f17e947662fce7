"""Trainings beside a server that dies: how much slower are they, and is a row lost or doubled?

    OMP_NUM_THREADS=1 python benchmarks/dead_server.py --pairs 3 [--way killed]

Each pair trains the small MNIST of the tests twice, as `pipeline train` does: beside a server that
works, and beside one that fails after the second epoch in a way (killed, stopped, failing, absent).
Which comes first alternates. Then the server works again, `pipeline sync` runs, and the rows of the
server's database are counted against the epochs of ``history.csv``. The slowdown compares the time
of the epochs, which is the training's own, and the whole command, which waits at its end.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "tests")]

from tests.tracking.faulty_server import Proxy, Server, rows  # noqa: E402

WAYS = ("killed", "stopped", "failing", "absent")
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
        if way == "killed":
            server.kill()
        if way == "stopped":
            server.signal(signal.SIGSTOP)
        if way == "failing":
            proxy.plan = ["500"] * 100_000
        if process.wait() != 0:
            sys.exit((folder / "log.txt").read_text())
        command_s = time.perf_counter() - began
        mend(server, proxy, way)
        if pipeline(folder, "sync").wait() != 0:
            sys.exit((folder / "log.txt").read_text())
    finally:
        proxy.close()
    with (folder / "results" / "mlp" / "history.csv").open(newline="") as lines:
        return sum(float(row["time/epoch_s"]) for row in csv.DictReader(lines)), command_s


def mend(server: Server, proxy: Proxy, way: str) -> None:
    if way == "stopped":
        server.signal(signal.SIGCONT)
    if way in ("killed", "absent"):
        server.start()
    proxy.plan = []


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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--way", choices=WAYS, action="append")
    options = parser.parse_args()
    lost = doubled = tried = survived = 0
    empty = Path(tempfile.mkdtemp()) / "mlflow.db"
    make_store(empty)
    for way in options.way or WAYS:
        ratios, waits = [], []
        for pair in range(options.pairs):
            took: dict[str, tuple[float, float]] = {}
            for kind in ("", way) if pair % 2 else (way, ""):
                with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
                    folder = project(Path(name))
                    server = Server(folder)
                    shutil.copyfile(empty, folder / "server.db")
                    try:
                        server.start()
                        took[kind] = trained(folder, server, kind, options.epochs)
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
            f"{statistics.median(waits):+.1f} s (median of {options.pairs} pairs)",
            flush=True,
        )
    print(f"rows lost: {lost}, doubled: {doubled}")
    print(f"servers: tried {tried}, survived {survived}, lost {tried - survived}")
    sys.exit(bool(lost or doubled))


if __name__ == "__main__":
    main()
