"""A sweep of `sweep_app.py` in a process of its own, and its study."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import optuna

APP = Path(__file__).with_name("sweep_app.py")
SOURCE = Path(__file__).parents[1] / "src"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}


def start(folder: Path, *arguments: str, app: Path = APP) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(app), "-m", *arguments],
        cwd=folder, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip


def run(folder: Path, *arguments: str, code: int = 0, app: Path = APP) -> str:
    process = start(folder, *arguments, app=app)
    output, _ = process.communicate(timeout=120)
    assert (process.returncode == 0) == (code == 0), output
    return output


def starts(folder: Path) -> list[int]:
    """The numbers of the trials in the order in which they began."""
    return [int(line.split()[0]) for line in (folder / "starts.txt").read_text().splitlines()]


def study(folder: Path) -> optuna.Study:
    return study_in(f"sqlite:///{folder / 'optuna.db'}")


def study_in(storage: str) -> optuna.Study:
    """The only study of a database."""
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage)
