"""An epoch of `pipeline train` on a busy machine, over an epoch alone, in turns.

    python benchmarks/busy.py --rounds 3 [--epochs 4] [--only "cnn, batch 32"]

Busy means: beside one process that computes all the time, or as many as ``--others`` says. Two
equal trainings take turns of two seconds (`turns.py`). One of them has the machine alone. In the
turns of the other one the busy processes run too.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bare_loop import CASES, ROOT, project
from turns import Racer, run_in_turn

SPIN = "while True: pass"


class BesideOthers(Racer):
    """A process in whose turns other processes compute."""

    others: list[subprocess.Popen[bytes]]

    def turn(self, seconds: float) -> bool:
        for other in self.others:
            other.send_signal(signal.SIGCONT)
        try:
            return super().turn(seconds)
        finally:
            for other in self.others:
                other.send_signal(signal.SIGSTOP)


def race(
    words: tuple[str, ...], epochs: int, folders: list[Path], *, num_others: int
) -> tuple[float, float]:
    """Return images a second alone and beside the busy processes."""
    seed = time.time_ns() % 2**31
    train = ["train", *words, f"seed={seed}", f"trainer.max_epochs={epochs}", "name=raced"]
    own = [sys.executable, "-m", "pipeline", *train]
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])}
    others = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(num_others)]
    try:
        for other in others:
            other.send_signal(signal.SIGSTOP)
        alone = Racer(own, environment=path, folder=folders[0])
        beside = BesideOthers(own, environment=path, folder=folders[1])
        beside.others = others
        run_in_turn((alone, beside))
    finally:
        for other in others:
            other.kill()
    if any(len(racer.ends) != epochs for racer in (alone, beside)):
        sys.exit("a racer has not printed every epoch: no ratio")
    return alone.speed(55_000), beside.speed(55_000)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--others", type=int, default=1, help="busy processes")
    parser.add_argument("--only", choices=CASES, action="append")
    options, words = parser.parse_known_args()
    processor = platform.processor() or platform.machine()
    print(f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}", flush=True)
    print("| training | images a second alone | busy | share | n |")
    print("|---|---|---|---|---|", flush=True)
    for name in options.only or CASES:
        speeds = []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
                folders = [project(Path(one)), project(Path(other))]
                given = (*CASES[name], *words)
                speeds.append(race(given, options.epochs, folders, num_others=options.others))
        shares = [beside / alone for alone, beside in speeds]
        alone, beside = (statistics.median(column) for column in zip(*speeds, strict=True))
        print(
            f"| {name} | {alone:,.0f} | {beside:,.0f} | {statistics.median(shares):.2f} "
            f"({min(shares):.2f} … {max(shares):.2f}) | {len(shares)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
