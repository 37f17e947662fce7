"""Test accuracy of the experiments over several seeds.

    python benchmarks/accuracy.py tutorial_mlp tutorial_cnn --seeds 3
    python benchmarks/accuracy.py tutorial_mlp trainer.max_epochs=10

Each run is the two commands that a person would type, in a process of its own. The benchmark
prints mean ± sample standard deviation over the seeds. It adds every run to
benchmarks/accuracy.json, and does not repeat a run that stands there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_suffix(".json")


def run(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pipeline", *arguments], cwd=ROOT, check=True)


def measure(experiment: str, seed: int, extra: list[str]) -> dict[str, float]:
    name = f"bench_{experiment}_{seed}"
    chosen = [f"experiment={experiment}", f"name={name}", f"seed={seed}"]
    run("train", *chosen, "tracking=none", "overwrite=true", *extra)
    run("evaluate", f"name={name}", "tracking=none", "evaluation.corruptions=[]")
    metrics = json.loads((ROOT / "results" / name / "metrics.json").read_text())
    summary = json.loads((ROOT / "models" / name / "model.json").read_text())["summary"]
    return {
        "accuracy": metrics["test/accuracy"],
        "f1_macro": metrics["test/f1_macro"],
        "seconds": summary["seconds"],
        "parameters": summary["parameters"],
    }


def known_rows() -> dict[str, dict[str, float]]:
    return json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}


def measured(experiment: str, seed: int, extra: list[str]) -> dict[str, float]:
    """Return a run's numbers, from the file or from a new run that is added to it."""
    key = " ".join([experiment, f"seed={seed}", *extra])
    if key not in known_rows():
        row = measure(experiment, seed, extra)
        rows = known_rows() | {key: row}  # read again: another process may have added some
        RESULTS.write_text(json.dumps(rows, indent=2) + "\n")
    return known_rows()[key]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiments", nargs="+")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    extra = [word for word in options.experiments if "=" in word]  # overrides, for every experiment
    for experiment in (word for word in options.experiments if word not in extra):
        rows = [measured(experiment, seed, extra) for seed in seeds]
        accuracies = [row["accuracy"] for row in rows]
        spread = statistics.stdev(accuracies) if len(rows) > 1 else float("nan")
        seconds = statistics.mean(row["seconds"] for row in rows)
        print(
            f"{experiment}: test accuracy {statistics.mean(accuracies):.2%} ± {spread:.2%} "
            f"(n={len(rows)}), {rows[0]['parameters']:,.0f} parameters, {seconds:.0f} s of training"
        )


if __name__ == "__main__":
    main()
