"""Short runs of benchmarks/scale.py and record_scale.py; and a wrong total is an error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import optuna
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from scale import Work, check_total

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def printed(script: str, *arguments: str) -> str:
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_every_trial_is_done_once_by_one_worker_or_several(workers: int) -> None:
    text = printed("scale.py", "--trials", "24", "--workers", str(workers))
    assert f"{workers} workers, 24 trials" in text
    assert "all 24 trials done once" in text
    assert "around trial 10" in text


@pytest.mark.slow
def test_a_record_grows_to_its_size() -> None:
    text = printed("record_scale.py", "--sizes", "30", "--repeats", "2")
    assert text.splitlines()[-1].split()[0] == "32"  # with the two that were measured


@pytest.mark.parametrize(
    ("finished", "numbers", "passes"),
    [
        pytest.param((2, 1), ((0, 1), (2,)), True, id="whole"),
        pytest.param((2, 2), ((0, 1), (1, 2)), False, id="one_twice"),
        pytest.param((2, 0), ((0, 1), ()), False, id="one_lost"),
    ],
)
def test_a_wrong_total_ends_the_benchmark(
    finished: tuple[int, int], numbers: tuple[tuple[int, ...], ...], passes: bool
) -> None:
    study = optuna.create_study()
    for _ in range(3):
        study.add_trial(optuna.trial.create_trial(value=0.0))
    done = [
        Work(count, 0, [{"number": n} for n in slots], 0.0)
        for count, slots in zip(finished, numbers, strict=True)
    ]
    if passes:
        check_total(study, done, total=3)
        return
    with pytest.raises(SystemExit, match="WRONG TOTAL: 3 trials were asked for"):
        check_total(study, done, total=3)
