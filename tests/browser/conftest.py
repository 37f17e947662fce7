"""One small project for all tests of this folder: two true runs with different verdicts, and their report."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from chromium import Chromium, program, started

ROOT = Path(__file__).parents[2]
SMALL = [
    "model.width=64",
    "trainer.accelerator=cpu",
    "precision=fp32",
    "signals.probe_size=200",
    "model.dropout=0.0",
]
RUNS = {
    "wide": ["data.fraction=0.1", "data.batch_size=16", "trainer.max_epochs=15", "model.width=128"],
    "short": ["trainer.max_epochs=2"],
}


# One process for all commands: what they import takes longer than what they do here.
PROGRAM = """
import json, sys
from pipeline import cli
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["pipeline", *arguments]
    if code := cli.main():
        sys.exit(code)
"""


def pipeline(*commands: Sequence[str], folder: Path) -> str:
    """Run commands of ours in a project, one after another; return what they print."""
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained, evaluated, diagnosed and reported; one model with a verification and a healing beside it."""
    from small_mnist import write_prepared

    root = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "conf", root / "conf")
    (root / "mlruns").mkdir()
    write_prepared(root / "data" / "processed" / "mnist")
    evaluation = [
        "evaluation.corruptions=[noise]",
        "evaluation.severities=[3]",
        "evaluation.num_resamples=100",
    ]
    results = root / "results" / "wide"
    results.mkdir(parents=True)
    (results / "verification.json").write_text(json.dumps(_verification()))
    (results / "healing.json").write_text(json.dumps(_healing()))
    commands: list[list[str]] = []
    for name, options in RUNS.items():
        commands += [["train", f"name={name}", *SMALL, *options]]
        commands += [["evaluate", f"name={name}", *evaluation], ["diagnose", f"name={name}"]]
    pipeline(*commands, ["report"], folder=root)
    return root


def _verification() -> dict[str, object]:
    def gain(value: float, reach: float) -> dict[str, float]:
        return {"value": value, "low": value - reach, "high": value + reach, "n": 5, "level": 0.95}

    def arm(name: str, verdict: str, value: float, reach: float) -> dict[str, object]:
        judged = {"p_value": 0.01, "symptom_share": 0.2, "seeds_needed": None}
        return {"name": name, "verdict": verdict, "improvement": gain(value, reach), **judged}

    arms = [arm("more_data", "confirmed", 0.3, 0.1), arm("dropout", "not confirmed", 0.02, 0.05)]
    return {
        "sentence": "wide: more data lowers test loss by 30 % [20, 40] over 5 paired seeds.",
        "arms": [*arms, arm("more_data+dropout", "harmful", -0.2, 0.1)],
        "reseed": gain(0.0, 0.05),
        "random": gain(0.1, 0.06),
        "claim": {"arm": "more_data", "remedy": gain(0.3, 0.1)},
        "experiment": "wide_verified",
    }


def _healing() -> dict[str, object]:
    step = {"verdict": "overfitting", "confidence": 1.0, "adopted": "more_data", "proof": "30 % [20, 40]"}
    steps = [{**step, "overrides": ["data.fraction=1.0"]}]
    return {"steps": steps, "end": "healthy", "verdict": "healthy", "experiment": "wide_healed"}


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    """Chromium; without it these tests are skipped with the reason."""
    path = program()
    if path is None:
        pytest.skip("no browser: install Chromium, on Debian with apt-get install chromium")
    with started(path) as found:
        yield found
