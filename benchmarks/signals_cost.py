"""What the signals cost: the textbook CNN trained with and without them, in turn, in one process.

    python benchmarks/signals_cost.py --pairs 5

Each pair trains the tutorial CNN (55,000 images, batch 32) twice, once with `signals=standard` and once
with `signals=none`; which comes first alternates. The first epoch of each training is its warm-up and
is not counted. Told are the ratios of the epochs' wall time and of their processor time, one a pair: on
a machine that others use too, the second with `--threads 1` is the one to trust.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

import torch  # noqa: E402

from pipeline.config import compose  # noqa: E402
from pipeline.data.store import load_prepared  # noqa: E402
from pipeline.models.build import build_network  # noqa: E402
from pipeline.records import EpochRecord, Prepared  # noqa: E402
from pipeline.stages.train import architecture  # noqa: E402
from pipeline.training.fit import fit  # noqa: E402


def epoch_seconds(prepared: Prepared, overrides: list[str]) -> tuple[float, float]:
    """Mean wall and processor seconds of an epoch after the first."""
    settings, _ = compose(["experiment=tutorial_cnn", "tracking=none", *overrides], root=ROOT)
    network = build_network(architecture(settings, prepared.card), seed=settings.seed)
    ends: list[tuple[float, float]] = []

    def clock(_: EpochRecord) -> None:
        ends.append((time.perf_counter(), time.process_time()))

    fit(network, prepared, settings=settings, observers=[clock])
    (wall0, cpu0), (wall1, cpu1) = ends[0], ends[-1]
    return (wall1 - wall0) / (len(ends) - 1), (cpu1 - cpu0) / (len(ends) - 1)


def told(name: str, ratios: list[float]) -> str:
    costs = [100 * (ratio - 1) for ratio in ratios]
    spread = f"{min(costs):.1f} … {max(costs):.1f} %"
    return f"{name}: median {statistics.median(costs):.1f} %, {spread} (n={len(costs)} pairs)"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--fraction", type=float, default=1.0, help="share of the images: for a quick try")
    options = parser.parse_args()
    common = [f"trainer.max_epochs={options.epochs}", f"data.fraction={options.fraction}"]
    common += [f"trainer.num_threads={options.threads}"] if options.threads else []
    prepared = load_prepared(ROOT / "data" / "processed" / "mnist")
    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, {' '.join(common)}")
    walls, cpus = [], []
    for pair in range(options.pairs):
        order = ["standard", "none"] if pair % 2 == 0 else ["none", "standard"]
        found = {option: epoch_seconds(prepared, [*common, f"signals={option}"]) for option in order}
        (wall_on, cpu_on), (wall_off, cpu_off) = found["standard"], found["none"]
        walls.append(wall_on / wall_off)
        cpus.append(cpu_on / cpu_off)
        print(
            f"pair {pair + 1}: with {wall_on:.2f} s an epoch ({cpu_on:.2f} s of processor), "
            f"without {wall_off:.2f} s ({cpu_off:.2f} s)",
            flush=True,
        )
    print(told("cost in wall time", walls))
    print(told("cost in processor time", cpus))


if __name__ == "__main__":
    main()
