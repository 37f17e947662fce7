"""Test accuracy of the experiments over several seeds: the README's table.

    python benchmarks/accuracy.py tutorial_mlp tutorial_cnn --seeds 3
    python benchmarks/accuracy.py tutorial_mlp trainer.max_epochs=10

Each run is the two commands a person would type, in a process of its own. Prints mean ± sample
standard deviation over the seeds, and adds every run to benchmarks/accuracy.json, from which a
run that is there already is taken instead of being made again.
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
    run("train", f"experiment={experiment}", f"name={name}", f"seed={seed}", "tracking=none", *extra)
    run("evaluate", f"name={name}", "tracking=none", "evaluation.corruptions=[]")
    metrics = json.loads((ROOT / "results" / name / "metrics.json").read_text())
    summary = json.loads((ROOT / "models" / name / "model.json").read_text())["summary"]
    return {
        "accuracy": metrics["test/accuracy"],
        "f1_macro": metrics["test/f1_macro"],
        "seconds": summary["seconds"],
        "parameters": summary["parameters"],
    }


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
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for experiment in (word for word in options.experiments if word not in extra):
        for seed in seeds:
            key = " ".join([experiment, f"seed={seed}", *extra])
            if key not in found:
                row = measure(experiment, seed, extra)
                found = (json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}) | {key: row}
                RESULTS.write_text(json.dumps(found, indent=2) + "\n")
        rows = [found[" ".join([experiment, f"seed={s}", *extra])] for s in seeds]
        accuracies = [row["accuracy"] for row in rows]
        spread = statistics.stdev(accuracies) if len(rows) > 1 else float("nan")
        seconds = statistics.mean(row["seconds"] for row in rows)
        print(
            f"{experiment}: test accuracy {statistics.mean(accuracies):.2%} ± {spread:.2%} "
            f"(n={len(rows)}), {rows[0]['parameters']:,.0f} parameters, {seconds:.0f} s of training"
        )


if __name__ == "__main__":
    main()
