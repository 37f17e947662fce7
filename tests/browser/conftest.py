"""One small project for all tests of this folder: two runs with two verdicts, and their report."""

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

from pipeline.diagnosis.paired_trials import Judged
from pipeline.diagnosis.proof import Claim, Healing, Round, Verification
from pipeline.files import write_record
from pipeline.records import Estimate

ROOT = Path(__file__).parents[2]
SMALL = [
    "model.width=64",
    "trainer.accelerator=cpu",
    "precision=fp32",
    "signals.sample_size=200",
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
    """Train, evaluate, diagnose and report; one model has a verification and a healing too."""
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
    write_record(results / "verification.json", VERIFICATION)
    write_record(results / "healing.json", HEALING)
    commands: list[list[str]] = []
    for name, options in RUNS.items():
        commands += [["train", f"name={name}", *SMALL, *options]]
        commands += [["evaluate", f"name={name}", *evaluation], ["diagnose", f"name={name}"]]
    pipeline(*commands, ["report"], folder=root)
    return root


def _reduction(value: float, reach: float) -> Estimate:
    return Estimate(value, value - reach, value + reach, n=5)


def _arm(name: str, verdict: str, value: float, reach: float) -> Judged:
    return Judged(name, (), verdict, _reduction(value, reach), 0.01, 0.2, (), None, (), ())


VERIFICATION = Verification(
    name="wide",
    symptom="overfitting",
    sentence="wide: more data lowers test loss by 30 % [20, 40] over 5 paired seeds.",
    seeds=5,
    undecided=None,
    arms=(
        _arm("more_data", "confirmed", 0.3, 0.1),
        _arm("dropout", "not confirmed", 0.02, 0.05),
        _arm("more_data+dropout", "harmful", -0.2, 0.1),
    ),
    reseed=_reduction(0.0, 0.05),
    random=_reduction(0.1, 0.06),
    claim=Claim(
        arm="more_data",
        remedy=_reduction(0.3, 0.1),
        reseed=_reduction(0.0, 0.05),
        random=_reduction(0.1, 0.06),
    ),
    experiment="wide_verified",
    studies={},
)
HEALING = Healing(
    name="wide",
    steps=(Round("overfitting", 1.0, "more_data", ("data.fraction=1.0",), "30 % [20, 40]"),),
    end="healthy",
    verdict="healthy",
    experiment="wide_healed",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    """Chromium; without it these tests are skipped with the reason."""
    path = program()
    if path is None:
        pytest.skip("no browser: install Chromium, on Debian with apt-get install chromium")
    with started(path) as found:
        yield found
