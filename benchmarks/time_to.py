"""From the shell to a tracked, diagnosed model of 99 %, over a bare script that only trains.

    python benchmarks/time_to.py --seeds 5 [--project FOLDER] [--threads 1]

Ours is `pipeline train experiment=fast_cnn`: signals, MLflow's SQLite, checkpoints, the model's
copy for MLflow, and the verdict. `bare_fast_cnn.py` trains the same network on the same images by
the same schedule, and measures the validation part. Both are clocked as whole processes, from
their start to their end. `turns.py` says how they take turns. The test part is measured once for
each model, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from turns import Racer, run_in_turn

ROOT = Path(__file__).parents[1]
PATH = {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])}
GOAL = 0.99


@dataclass(frozen=True)
class Race:
    """One seed. Seconds are of whole processes: on the clock, and of the processor."""

    seed: int
    accuracy: float
    bare_accuracy: float
    seconds: float
    bare_seconds: float
    processor: float
    bare_processor: float


def race(seed: int, folder: Path, threads: int | None) -> Race:
    """Train one seed in both ways, in turns, and measure both on the test part."""
    name = f"fast_{seed}"
    # Only the plain test part is measured below; training does not use these settings.
    own = ["train", "experiment=fast_cnn", f"name={name}", f"seed={seed}"]
    own += ["evaluation.corruptions=[]", "evaluation.other_sets=[]"]
    own += [f"trainer.num_threads={threads}"] if threads else []
    bare = [str(ROOT / "benchmarks" / "bare_fast_cnn.py"), "data/processed/mnist", str(seed)]
    bare += ["--threads", str(threads)] if threads else []
    lines = ([sys.executable, "-m", "pipeline", *own], [sys.executable, *bare])
    ours, loop = racers = [Racer(line, environment=PATH, folder=folder) for line in lines]
    run_in_turn(racers if seed % 2 else racers[::-1])
    check_recorded(folder, name)
    run(["-m", "pipeline", "evaluate", f"name={name}"], folder)
    metrics = json.loads((folder / "results" / name / "metrics.json").read_text())
    bare_accuracy = float(run([*bare, "--test"], folder))
    return Race(
        seed=seed,
        accuracy=metrics["acc"],
        bare_accuracy=bare_accuracy,
        seconds=ours.seconds,
        bare_seconds=loop.seconds,
        processor=ours.processor,
        bare_processor=loop.processor,
    )


def run(words: list[str], folder: Path) -> str:
    """Run Python in the project; return what it printed."""
    line, environment = [sys.executable, *words], {**os.environ, **PATH}
    done = subprocess.run(line, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE)
    return done.stdout.decode()


def check_recorded(folder: Path, name: str) -> None:
    """Stop where the run is not in MLflow's store with its verdict and its model."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as store:
        query = (
            "select count(*) from runs join tags on runs.run_uuid = tags.run_uuid "
            "where runs.name = ? and status = 'FINISHED' and tags.key = 'diagnosis.verdict'"
        )
        (verdicts,) = store.execute(query, (name,)).fetchone()
        query = "select count(*) from logged_models where name = ?"
        (models,) = store.execute(query, (name,)).fetchone()
    if (verdicts, models) != (1, 1):
        sys.exit(f"{name}: not tracked and diagnosed, so its time means nothing")


HEAD = (
    "| seed | test accuracy: ours, bare | seconds: ours, bare | ratio "
    "| of the processor: ours, bare | ratio |\n|---|---|---|---|---|---|"
)


def row(r: Race) -> str:
    return (
        f"| {r.seed} | {r.accuracy:.2%}, {r.bare_accuracy:.2%} "
        f"| {r.seconds:.1f}, {r.bare_seconds:.1f} | {r.seconds / r.bare_seconds:.2f} "
        f"| {r.processor:.1f}, {r.bare_processor:.1f} | {r.processor / r.bare_processor:.2f} |"
    )


def summary(races: list[Race]) -> str:
    found = [r.accuracy for r in races]
    mean = statistics.mean(found)
    spread = f" ± {statistics.stdev(found):.2%}" if len(found) > 1 else ""
    ratios = [r.seconds / r.bare_seconds for r in races]
    by_processor = [r.processor / r.bare_processor for r in races]
    seconds = statistics.median(r.seconds for r in races)
    reached = f"{seconds:.1f} s" if mean >= GOAL else "not reached"
    return (
        f"test accuracy {mean:.2%}{spread}, least {min(found):.2%}, n={len(found)}\n"
        f"over the bare script: {statistics.median(ratios):.2f} times its seconds "
        f"({min(ratios):.2f} … {max(ratios):.2f}), {statistics.median(by_processor):.2f} times "
        f"its processor's ({min(by_processor):.2f} … {max(by_processor):.2f})\n"
        f"time to {GOAL:.1%}, from the shell: {reached}"
    )


def project(folder: Path, source: Path) -> Path:
    """A project of its own, so that the record of the other one stays as it is."""
    (folder / "conf").symlink_to(ROOT / "conf")
    (folder / "data").symlink_to(source / "data")
    (folder / "mlruns").mkdir()
    return folder


def machine() -> str:
    names = ", ".join(f"{name} {version(name)}" for name in ("torch", "pytorch-lightning"))
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    kind = platform.processor() or platform.machine()
    return f"{os.cpu_count()} cores ({kind}), load {load}, {platform.python_version()}, {names}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--project", type=Path, default=ROOT, help="where MNIST is prepared")
    parser.add_argument("--threads", type=int, help="of both; else each chooses")
    asked = parser.parse_args()
    print(f"{machine()}\n{HEAD}", flush=True)
    races: list[Race] = []
    with tempfile.TemporaryDirectory() as name:
        folder = project(Path(name), asked.project.resolve())
        for seed in range(asked.seeds):
            races.append(race(seed, folder, asked.threads))
            print(row(races[-1]), flush=True)
    print(summary(races))


if __name__ == "__main__":
    main()
