"""A disk that fills in the middle of a sweep: one message, and the same command goes on."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from conftest import make_project
from trained_models import TINY

ROOT = Path(__file__).parents[2]
TRIALS = 4
# Epochs without end until the disk is full would be no sweep that can be compared: these are short,
# and the disk fills while the second trial runs or just after it.
SWEEP = ["train", "-m", *TINY, "trainer.max_epochs=3", "seed=0,1,2,3", "study_name=full"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a file system")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def start(project: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *SWEEP], cwd=project, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def states(project: Path) -> Counter[str]:
    """How many trials of the study are in each state."""
    if not (project / "optuna.db").is_file():
        return Counter()
    with closing(sqlite3.connect(project / "optuna.db")) as database:
        try:
            return Counter(state for (state,) in database.execute("select state from trials"))
        except sqlite3.OperationalError:  # the tables are not there yet, or locked
            return Counter()


def fill(place: Path) -> None:
    """Leave no byte free: a file takes the rest of the disk, also what is given free later."""
    with (place / "rest").open("ab", buffering=0) as rest:
        for size in (1 << 20, 1 << 12):
            try:
                while rest.write(bytes(size)):
                    pass
            except OSError:
                continue


@pytest.mark.slow
def test_a_sweep_whose_disk_fills_ends_with_one_message_and_goes_on(disk: Path) -> None:
    project = make_project(disk)
    command = start(project)
    while states(project)["COMPLETE"] < 1 and command.poll() is None:
        time.sleep(0.05)
    while command.poll() is None:
        fill(disk)
        time.sleep(0.05)
    told = command.communicate()[0]
    assert command.returncode == 1, told
    assert "Traceback" not in told and told.count("error: ") == 1, told
    (disk / "rest").unlink()
    again = start(project)
    more = again.communicate()[0]
    assert again.returncode == 0, more
    assert states(project) == {"COMPLETE": TRIALS}, told + more
    by_trial = (
        "select t.value, r.status from runs r join tags t on t.run_uuid = r.run_uuid"
        " and t.key = 'optuna.trial' where r.lifecycle_stage = 'active'"
    )
    with closing(sqlite3.connect(project / "mlflow.db")) as database:
        found = sorted(database.execute(by_trial))
    assert found == [(str(number), "FINISHED") for number in range(TRIALS)], told + more
