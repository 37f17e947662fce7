"""Write runs of the corpus as JSON lines, in the form that `benchmarks/rivals.py` reads.

    python benchmarks/curves/export.py locked > benchmarks/runs/locked.jsonl
    python benchmarks/curves/export.py locked --rate > benchmarks/runs/locked_rate.jsonl
    python benchmarks/rivals.py benchmarks/runs/locked.jsonl

Each run is logged in one way of `dress`, drawn by its name. Nothing else is told but the learning
rate, with ``--rate``.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from cases import PARTS, SHOWN_AS
from dress import logged
from pack import Run, runs

CURVES = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate")


def line(run: Run, *, rate: bool) -> str:
    """One run as a line."""
    curves = logged(run, key="judged", rate=rate)
    fault = SHOWN_AS.get(run.fault, run.fault)
    there = {name: getattr(curves, name) for name in CURVES}
    content = {
        "id": f"{run.case}-s{run.settings['seed']}",
        "curves": {name: _numbers(y) for name, y in there.items() if y is not None},
        "fault": fault,
        "family": run.family,
    }
    return json.dumps(content)


def _numbers(values: np.ndarray) -> list[float | str | None]:
    return [_number(float(value)) for value in values]


def _number(value: float) -> float | str | None:
    """A loss that was lost is written as the tools log it, nan."""
    if math.isinf(value):
        return "nan"
    return None if math.isnan(value) else float(f"{value:.5g}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--rate", action="store_true", help="with the learning rate")
    options = parser.parse_args()
    for run in runs(options.part):
        print(line(run, rate=options.rate))


if __name__ == "__main__":
    main()
