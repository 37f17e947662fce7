"""Disks that fill in the middle of a command: a short version of benchmarks/full_disk.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from full_disk import Ended, may_mount  # noqa: E402


@pytest.mark.parametrize(
    ("code", "text", "complaints"),
    [
        (0, "all is well\n", []),
        (1, "error: the disk is full\n", []),
        (1, "epoch 1\nerror: the disk is full\n", []),
        (1, "Traceback (most recent call last)\n", ["a traceback", "0 messages for exit code 1"]),
        (1, "error: one\nerror: two\n", ["2 messages for exit code 1"]),
        (0, "error: one\n", ["1 messages for exit code 0"]),
        (-9, "error: one\n", ["exit code -9"]),
    ],
)
def test_what_is_wrong_with_an_end_is_said(code: int, text: str, complaints: list[str]) -> None:
    assert Ended(code, text).complaints == complaints


@pytest.mark.slow
@pytest.mark.parametrize("way", ["mount", "limit"])
def test_a_disk_that_fills_loses_nothing(way: str) -> None:
    if way == "mount" and not may_mount():
        pytest.skip("only root may mount a file system")
    stages = ["--stage", "train", "--stage", "evaluate"] if way == "mount" else ["--stage", "train"]
    command = [sys.executable, "full_disk.py", "--sizes", "2", "--way", way, *stages]
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    tried = 2 * stages.count("--stage")
    assert done.stdout.splitlines()[-1] == f"sizes: tried {tried}, survived {tried}, lost 0"
