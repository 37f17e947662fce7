"""A verification that is killed loses nothing, and only a claim reads the test set."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline import cli
from pipeline.errors import DataError
from pipeline.verification.patient import patient_of
from pipeline.verification.plan import num_runs
from pipeline.verification.verify import verify
from verification_cases import options
from verified import run_sweep

SEEDS = 3
LIMIT_S = 900  # of a command that takes half a minute on an idle core
PATIENT = [
    "name=wide",
    "model.width=32",
    "model.dropout=0.0",
    "data.fraction=0.1",
    "trainer.max_epochs=6",
]
ASKED = ["name=wide", "remedies=[more_data]", f"seeds={SEEDS}"]


@pytest.fixture
def trained(project: Path) -> Path:
    """A smaller network than that of the other tests, since it is verified three times."""
    cli.call("train", [*PATIENT, "data.batch_size=32", "tracking=none", "trainer.accelerator=cpu"])
    return project


# --- kill -9 --------------------------------------------------------------------------------------


def start(folder: Path, stop: str, asked: Sequence[str] = ASKED) -> subprocess.Popen[bytes]:
    log = (folder / "log.txt").open("ab")
    command = [sys.executable, "-m", "pipeline", "verify", *asked, f"stop={stop}"]
    return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)


def query(folder: Path, text: str) -> list[tuple[Any, ...]]:
    path = folder / "optuna.db"
    if not path.is_file():
        return []
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as database:
        try:
            return database.execute(text).fetchall()
        except sqlite3.OperationalError:  # the schema is not there yet
            return []


def finished(folder: Path) -> dict[tuple[Any, ...], str]:
    """Study and number of every trial that is complete → when it was."""
    rows = query(
        folder,
        "select study_name, number, datetime_complete from trials join studies using (study_id) "
        "where state = 'COMPLETE'",
    )
    return {(study, number): str(when) for study, number, when in rows}


def killed(folder: Path, stop: str, *, after: int) -> dict[tuple[Any, ...], str]:
    """Start the command, and kill it within the training that follows so many finished ones."""
    process = start(folder, stop)
    while process.poll() is None and len(finished(folder)) < after:
        time.sleep(0.02)
    time.sleep(0.1)
    assert process.poll() is None, (folder / "log.txt").read_text()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return finished(folder)


@pytest.mark.parametrize("stop", ["fixed", "early"])
def test_a_verification_that_is_killed_twice_ends_as_one_that_never_was(
    stop: str, trained: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(trained, whole, ignore=shutil.ignore_patterns("whole"))
    assert start(whole, stop).wait(timeout=LIMIT_S) == 0, (whole / "log.txt").read_text()
    runs = len(finished(whole))
    assert runs == num_runs(1, SEEDS) if stop == "fixed" else runs >= 2 * SEEDS

    before = killed(trained, stop, after=2)
    assert 2 <= len(before) < runs and not (trained / "results/wide/verification.json").exists()
    later = killed(trained, stop, after=max(3, runs - 4))
    assert start(trained, stop).wait(timeout=LIMIT_S) == 0, (trained / "log.txt").read_text()

    ended = finished(trained)
    assert before.items() <= later.items() <= ended.items(), "finished runs are not trained again"
    assert ended.keys() == finished(whole).keys()
    counts = query(trained, "select state, count(*) from trials group by state")
    assert counts == [("COMPLETE", runs)]
    for name in ("verification.json", "claims.json"):
        assert written(trained, name) == written(whole, name), "to the last digit"


def test_another_call_goes_on_where_a_killed_one_was(trained: Path, tmp_path: Path) -> None:
    """It takes over the study, since all that the study lacks is wanted, and trains the rest."""
    whole = tmp_path / "whole"
    shutil.copytree(trained, whole, ignore=shutil.ignore_patterns("whole"))
    more = ["name=wide", "remedies=[dropout,more_data]", f"seeds={SEEDS}"]
    assert start(whole, "fixed", more).wait(timeout=LIMIT_S) == 0

    before = killed(trained, "fixed", after=2)
    assert start(trained, "fixed", more).wait(timeout=LIMIT_S) == 0
    assert before.items() <= finished(trained).items()
    counts = query(trained, "select state, count(*) from trials group by state")
    assert counts == [("COMPLETE", num_runs(2, SEEDS))]
    found, expected = (written(each, "verification.json") for each in (trained, whole))
    assert found["studies"].pop("arms_2") and expected["studies"].pop("arms")
    for key in ("studies", "file_sha256"):
        assert found.pop(key) != expected.pop(key)
    assert found == expected, "to the last digit"


def written(folder: Path, name: str) -> Any:
    return json.loads((folder / "results/wide" / name).read_text())


# --- the test set ---------------------------------------------------------------------------------


def test_only_a_claim_opens_the_test_part_and_only_once(trained: Path) -> None:
    """Without the file of the test set, everything runs but a new claim."""
    part = trained / "data/processed/mnist/test.safetensors"
    hidden = part.with_suffix(".hidden")
    asked = options(remedies=("more_data",), seeds=SEEDS)
    trainings: list[str] = []

    def sweep(overrides: Any) -> Any:
        trainings.append(next(o for o in overrides if o.startswith("study_name=")))
        return run_sweep(overrides)

    part.rename(hidden)
    with pytest.raises(DataError, match=r"test\.safetensors cannot be read"):
        verify(patient_of("wide", root=trained), asked, root=trained, run_sweep=sweep)
    assert len(set(trainings)) == 4, "all four parts are trained before the claim"
    hidden.rename(part)
    found = verify(patient_of("wide", root=trained), asked, root=trained, run_sweep=sweep)
    assert found is not None and found.claim is not None
    part.rename(hidden)
    again = verify(patient_of("wide", root=trained), asked, root=trained, run_sweep=sweep)
    assert again is not None and again.claim == found.claim
