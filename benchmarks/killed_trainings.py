"""kill -9 at random moments of trainings: do they end as if nothing had happened?

    python benchmarks/killed_trainings.py --rounds 20 [--kills 2] [--first 0]

Each round trains one of `TRAININGS` on the small MNIST of the tests, kills it at random moments,
and gives the same command again until it ends. The round passes if weights, history and signals are
those of an undisturbed training, bit for bit, and if MLflow holds one FINISHED run with the same
rows, each of them once. A round's number is its seed.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from killed_sweeps import Forked, import_everything, project, query

COMMON = ["trainer.sample_size=100", "signals.sample_size=100", "tracking.model=false", "name=it"]
TRAININGS = {
    "mlp, dropout, cosine": ["model=mlp", "model.width=64", "schedule=cosine"],
    "cnn, augmentation, one cycle": ["model=cnn", "schedule=onecycle", "augment=elastic"],
    "lstm, plateau": ["model=lstm", "schedule=plateau"],
}


@dataclass(frozen=True)
class End:
    """What a training has left: hashes of its files, and its rows without the times."""

    files: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    status: tuple[object, ...]
    seconds: float


def words_of(index: int, epochs: int) -> list[str]:
    training = list(TRAININGS.values())[index % len(TRAININGS)]
    return ["train", *COMMON, *training, f"trainer.max_epochs={epochs}"]


def end_of(folder: Path, seconds: float) -> End:
    weights = folder / "models" / "it" / "model.safetensors"
    with (folder / "results" / "it" / "history.csv").open(newline="") as lines:
        table = [
            {name: text for name, text in row.items() if not name.startswith("time/")}
            for row in csv.DictReader(lines)
        ]
    of_run = "from metrics join runs using (run_uuid) where name = 'it' and key not like '%time/%'"
    rows = query(folder / "mlflow.db", f"select key, step, value, is_nan {of_run} order by 1, 2")
    status = query(folder / "mlflow.db", "select status from runs where name = 'it'")
    signals = folder / "results" / "it" / "signals.safetensors"
    parts = [weights.read_bytes(), repr(table).encode(), signals.read_bytes()]
    return End(
        tuple(hashlib.sha256(part).hexdigest() for part in parts),
        tuple(rows),
        tuple(status),
        seconds,
    )


def undisturbed(words: list[str]) -> End:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        project(folder)
        began = time.perf_counter()
        if Forked(folder, words).wait() != 0:
            sys.exit((folder / "log.txt").read_text())
        return end_of(folder, time.perf_counter() - began)


def wrong(wanted: End, found: End) -> list[str]:
    """Return what is different, one sentence each."""
    names = ("weights", "history", "signals")
    parts = zip(names, wanted.files, found.files, strict=True)
    said = [f"{name} differ" for name, then, now in parts if then != now]
    lost = set(wanted.rows) - set(found.rows)
    doubled = [key for key, n in Counter(row[:2] for row in found.rows).items() if n > 1]
    if lost:
        said.append(f"MLflow: {len(lost)} rows lost or changed")
    if doubled:
        said.append(f"MLflow: {len(doubled)} rows doubled")
    if found.status != (("FINISHED",),):
        said.append(f"MLflow: runs {found.status}")
    return said


def over(folder: Path) -> bool:
    """Whether a training had ended before its process did: it leaves no checkpoint then."""
    if not (folder / "models" / "it" / "model.safetensors").is_file():
        return False
    ended = query(folder / "mlflow.db", "select status from runs where name = 'it'")
    return ended == [("FINISHED",)] and not list((folder / "checkpoints").glob("*/last.ckpt"))


def killed(words: list[str], wanted: End, dice: random.Random, kills: int) -> list[str]:
    """Kill a training some times, then let it end; return what is wrong."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        project(folder)
        for _ in range(kills):
            training = Forked(folder, words)
            time.sleep(dice.random() * wanted.seconds)
            with contextlib.suppress(ProcessLookupError):
                os.kill(training.pid, signal.SIGKILL)
            if training.wait() == 0 or over(folder):
                return wrong(wanted, end_of(folder, 0.0))  # the same command would train anew
        code = Forked(folder, words).wait()
        if code != 0:
            return [f"exit code {code}: {(folder / 'log.txt').read_text()[-1500:]}"]
        return wrong(wanted, end_of(folder, 0.0))


def rounds(first: int, count: int, *, kills: int, epochs: int) -> tuple[int, int]:
    """Return (rounds, rounds that passed)."""
    ends: dict[str, End] = {}
    passed = 0
    for index in range(first, first + count):
        words = words_of(index, epochs)
        name = list(TRAININGS)[index % len(TRAININGS)]
        if name not in ends:
            ends[name] = undisturbed(words)
        said = killed(words, ends[name], random.Random(index), kills)
        passed += not said
        print(f"round {index}: {'LOST' if said else 'ok  '} {name} {'; '.join(said)}", flush=True)
    return count, passed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    import_everything()
    tried, passed = rounds(
        options.first, options.rounds, kills=options.kills, epochs=options.epochs
    )
    print(f"trainings: tried {tried}, survived {passed}, lost {tried - passed}")
    sys.exit(passed != tried)


if __name__ == "__main__":
    main()
