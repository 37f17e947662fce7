"""Train the corpus, ask the oracle, and write one compressed file.

    python benchmarks/curves/make.py tune unseen --jobs 2  # what is missing; goes on after a kill
    python benchmarks/curves/make.py tune unseen --pack    # label, and put them into corpus.npz

Trainings that agree in their shapes run as one stack (`stacked`), so a small network takes a tenth
of a second. A stack leaves one file in `benchmarks/runs/curves/` and is never trained twice.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import pickle
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Large tensors come and go at every step: the heap keeps them, where glibc would return them.
KEEP = {"MALLOC_TRIM_THRESHOLD_": "4000000000", "MALLOC_MMAP_THRESHOLD_": "4000000000"}
sys.path.insert(0, str(Path(__file__).parent))

from cases import PARTS, SEEDS, cases  # noqa: E402
from stacked import Settings, Trained, train, with_seed  # noqa: E402

FOLDER = Path(__file__).parents[1] / "runs" / "curves"
LARGEST_STACK = 30


def wanted(parts: Sequence[str]) -> list[Settings]:
    """Every training of these parts, once."""
    runs: dict[Settings, None] = {}
    for part in parts:
        for case in cases(part):
            for settings in (case.settings, *case.remedies):
                runs.update(dict.fromkeys(with_seed(settings, seed) for seed in SEEDS[part]))
    return list(runs)


def stacks(runs: Sequence[Settings]) -> Iterator[list[Settings]]:
    """Runs that can be trained together, in an order that shows every pair early."""
    alike: dict[tuple[object, ...], list[Settings]] = defaultdict(list)
    for run in runs:
        alike[run.together].append(run)
    found = [
        group[start : start + LARGEST_STACK]
        for group in alike.values()
        for start in range(0, len(group), LARGEST_STACK)
    ]
    random.Random(0).shuffle(found)
    yield from found


def path_of(stack: Sequence[Settings]) -> Path:
    """Where a stack lies: equal settings are one file."""
    text = json.dumps([astuple(run) for run in stack])
    return FOLDER / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.pickle"


def make(stack: Sequence[Settings]) -> None:
    """Train a stack and keep it."""
    path = path_of(stack)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_bytes(pickle.dumps(train(stack)))
    temporary.rename(path)


def trained() -> dict[Settings, Trained]:
    """Every training that is there already (in files that this script wrote itself)."""
    found: dict[Settings, Trained] = {}
    for path in sorted(FOLDER.glob("*.pickle")):
        found.update({t.settings: t for t in pickle.loads(path.read_bytes())})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="+", choices=list(PARTS))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--pack", action="store_true")
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    if options.pack:
        from pack import pack

        pack(options.parts)
        return
    os.environ.update(KEEP)  # for the workers
    there = trained()
    todo = [
        stack
        for part in options.parts
        for stack in stacks([run for run in wanted([part]) if run not in there])
    ]
    total, done, start = sum(map(len, todo)), 0, time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        for stack in pool.imap_unordered(_made, todo):
            done += stack
            if random.random() < 0.05:
                spent = time.perf_counter() - start
                print(f"{done}/{total} trainings, {spent:.0f} s", flush=True)


def _made(stack: list[Settings]) -> int:
    import torch

    torch.set_num_threads(1)
    make(stack)
    return len(stack)


if __name__ == "__main__":
    main()
