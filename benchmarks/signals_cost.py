"""The cost of the signals: the textbook CNN trained with and without them, in turn, in one process.

    python benchmarks/signals_cost.py --pairs 5

Each pair trains the tutorial CNN (55,000 images, batch 32) twice, once with `signals=standard` and
once with `signals=none`; which comes first alternates. The first epoch of each training is its
warm-up and does not count. The benchmark prints two ratios:

within   the time in the callback's methods against the rest of the same epoch. Both meet the same
         minute of the machine, so trust this ratio where minutes differ.
pairs    the epochs with signals against those without, one ratio a pair: the whole effect of the
         signals on a training, and the changes of the machine in the meantime.

Each in wall time and in processor time. On a shared machine, take the second with `--threads 1`.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

import torch  # noqa: E402

from pipeline.config import compose  # noqa: E402
from pipeline.data.store import load_prepared  # noqa: E402
from pipeline.records import EpochRecord, Prepared  # noqa: E402
from pipeline.runs.network import untrained_network  # noqa: E402
from pipeline.runs.train_once import train_once  # noqa: E402
from pipeline.training.signals import Signals  # noqa: E402

# The methods that Lightning calls within an epoch.
METHODS = (
    "on_train_epoch_start",
    "on_train_batch_start",
    "on_before_optimizer_step",
    "on_train_epoch_end",
)
Seconds = tuple[float, float]  # wall time, processor time


def now() -> Seconds:
    return time.perf_counter(), time.process_time()


@contextmanager
def clocked(spent: list[float]) -> Iterator[None]:
    """Add the time in the signals' methods to ``spent`` (wall, processor)."""

    def timed(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            began = now()
            try:
                return method(*args, **kwargs)
            finally:
                for i, (start, end) in enumerate(zip(began, now(), strict=True)):
                    spent[i] += end - start

        return call

    with ExitStack() as stack:
        for name in METHODS:
            stack.enter_context(patch.object(Signals, name, timed(getattr(Signals, name))))
        yield


def epochs(prepared: Prepared, overrides: list[str]) -> tuple[list[Seconds], list[Seconds]]:
    """Return the time of each epoch after the first, and the signals' part of it."""
    config = compose(["experiment=tutorial_cnn", "tracking=none", *overrides], root=ROOT)
    network = untrained_network(config.settings, prepared.card, root=ROOT)
    ends: list[Seconds] = []
    spent, by_epoch = [0.0, 0.0], []

    def clock(_: EpochRecord) -> None:
        ends.append(now())
        by_epoch.append((spent[0], spent[1]))

    with clocked(spent):
        train_once(network, prepared, config, observers=[clock], show_progress=True)
    return _steps(ends), _steps(by_epoch)


def _steps(points: list[Seconds]) -> list[Seconds]:
    return [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(points)]


def mean(seconds: list[Seconds], which: int) -> float:
    return statistics.fmean(s[which] for s in seconds)


def summary(name: str, ratios: list[float], of: str) -> str:
    costs = [100 * ratio for ratio in ratios]
    spread = f"{min(costs):.1f} … {max(costs):.1f} %"
    return f"{name}: median {statistics.median(costs):.1f} %, {spread} (n={len(costs)} {of})"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument(
        "--fraction", type=float, default=1.0, help="share of the images: for a quick try"
    )
    return parser.parse_args()


def main() -> None:
    options = arguments()
    common = [f"trainer.max_epochs={options.epochs}", f"data.fraction={options.fraction}"]
    common += [f"trainer.num_threads={options.threads}"] if options.threads else []
    prepared = load_prepared(ROOT / "data" / "processed" / "mnist")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    print(f"{machine}, {' '.join(common)}")

    pairs: list[list[float]] = [[], []]
    within: list[list[float]] = [[], []]
    for pair in range(options.pairs):
        order = ["standard", "none"] if pair % 2 == 0 else ["none", "standard"]
        times = {option: epochs(prepared, [*common, f"signals={option}"]) for option in order}
        (on, spent), (off, _) = times["standard"], times["none"]
        for which in (0, 1):
            pairs[which].append(mean(on, which) / mean(off, which) - 1)
            for epoch, signals in zip(on, spent, strict=True):
                within[which].append(signals[which] / (epoch[which] - signals[which]))
        print(
            f"pair {pair + 1}: with {mean(on, 0):.2f} s an epoch "
            f"({mean(on, 1):.2f} s of processor), of which the signals take "
            f"{mean(spent, 0):.2f} s; without {mean(off, 0):.2f} s ({mean(off, 1):.2f} s)",
            flush=True,
        )
    for name, ratios, unit in (("within", within, "epochs"), ("pairs", pairs, "pairs")):
        for which, kind in enumerate(("wall time", "processor time")):
            print(summary(f"{name}, {kind}", ratios[which], unit))


if __name__ == "__main__":
    main()
