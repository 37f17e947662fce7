"""Kills and server faults in one command: how many were tried, survived and lost.

    python benchmarks/faults.py [--rounds 20]

It runs the three benchmarks of this folder that break something, one after the other, and shows
their output: `killed_trainings.py` (``--rounds``), `killed_sweeps.py` (as many), and
`dead_server.py` (as many pairs, spread over the ways in which a server fails). The last lines are a
table. The exit code is 1 where anything was lost.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
NUM_WAYS = 5  # in which a server of `dead_server.py` fails
TOTAL = re.compile(r"^(\w+): tried (\d+), survived (\d+), lost (\d+)$")


def run(script: str, *options: str) -> tuple[str, int, int, int]:
    """Run a benchmark, show its output, and return (subject, tried, survived, lost)."""
    print(f"--- {script} {' '.join(options)}", flush=True)
    command = [sys.executable, str(FOLDER / script), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        last = ""
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line.strip()
    found = TOTAL.match(last)
    if found is None:  # the benchmark itself has failed
        sys.exit(f"error: {script} ended with exit code {process.returncode} and no result")
    return found[1], int(found[2]), int(found[3]), int(found[4])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    totals = [
        run("killed_trainings.py", "--rounds", str(rounds)),
        run("killed_sweeps.py", "--rounds", str(rounds)),
        run("dead_server.py", "--pairs", str(-(-rounds // NUM_WAYS))),
    ]
    print(f"\n{'':12}{'tried':>8}{'survived':>10}{'lost':>6}")
    for subject, tried, survived, lost in totals:
        print(f"{subject:12}{tried:8}{survived:10}{lost:6}")
    sys.exit(any(lost for *_, lost in totals))


if __name__ == "__main__":
    main()
