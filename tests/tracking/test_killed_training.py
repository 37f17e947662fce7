"""A training that is killed between a write of the record and its checkpoint, and then resumed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.tracking.faulty_server import rows

from pipeline import cli
from pipeline.training.checkpoints import EpochCheckpoint

EPOCHS = 3
WORDS = [
    "train",
    "model.width=16",
    f"trainer.max_epochs={EPOCHS}",
    "trainer.sample_size=100",
    "signals.sample_size=100",
    "tracking.model=false",
]
# The command line with a `kill -9` of its own process at the call of one method. `sent`: first wait
# until MLflow has confirmed everything.
DIES = """
import os, signal, sys, time
from pathlib import Path
from pipeline import cli
from pipeline.tracking import leftovers, run
from pipeline.training import checkpoints

where, sent = sys.argv[1:3]
owner, name = {
    "checkpoint": (checkpoints.EpochCheckpoint, "on_train_epoch_end"),
    "kept": (run.Run, "log_dataset"),
    "begin": (run.Run, "log_params"),
}[where]
original = getattr(owner, name)

def die(self, *arguments, **named):
    if where == "checkpoint" and arguments[0].current_epoch == 0:
        return original(self, *arguments, **named)
    while sent == "sent" and any(leftovers.num_open(f) for f in Path("journal").iterdir()):
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(owner, name, die)
sys.argv = ["pipeline", *sys.argv[3:]]
cli.main()
"""


@pytest.mark.parametrize(
    ("where", "sent"),
    [
        ("begin", "sent"),
        ("checkpoint", "sent"),
        pytest.param("checkpoint", "unsent", marks=pytest.mark.slow),
        pytest.param("kept", "sent", marks=pytest.mark.slow),
    ],
)
def test_a_resumed_training_has_each_row_once(
    where: str, sent: str, project: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(empty_store, project / "mlflow.db")
    killed = subprocess.run([sys.executable, "-c", DIES, where, sent, *WORDS], timeout=600)
    assert killed.returncode == -signal.SIGKILL
    written = [
        line for f in project.glob("journal/*/lines.jsonl") for line in f.read_text().split("\n")
    ]
    assert any('"step":2' in line for line in written) is (where != "begin")
    monkeypatch.setattr("sys.argv", ["pipeline", *WORDS])
    assert cli.main() == 0

    assert statuses(project, "mlp") == ["FINISHED"]
    resumed = recorded(project, "mlp")
    assert max(Counter((key, step) for key, step, _ in resumed).values()) == 1
    monkeypatch.setattr("sys.argv", ["pipeline", *WORDS, "name=never_killed"])
    assert cli.main() == 0
    assert {row[:2] for row in resumed} == {row[:2] for row in recorded(project, "never_killed")}
    assert untimed(resumed) == untimed(recorded(project, "never_killed"))


@pytest.mark.usefixtures("signals_of_a_terminal")
@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (signal.SIGTERM, 143, "ended by SIGTERM"),
        pytest.param(signal.SIGINT, 130, "interrupted", marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, 129, "ended by SIGHUP", marks=pytest.mark.slow),
    ],
)
def test_a_training_that_is_asked_to_end_closes_its_run_and_goes_on_later(
    number: int,
    code: int,
    word: str,
    project: Path,
    empty_store: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copyfile(empty_store, project / "mlflow.db")
    long = [w if "max_epochs" not in w else "trainer.max_epochs=100" for w in WORDS]
    training = subprocess.Popen(
        [sys.executable, "-c", "import sys; from pipeline import cli; sys.exit(cli.main())", *long],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert training.stdout is not None
    while not training.stdout.readline().startswith("epoch   2/"):
        assert training.poll() is None
    training.send_signal(number)
    _, told = training.communicate(timeout=600)
    assert training.returncode == code
    (line,) = told.splitlines()
    assert line == f"{word}: the same command goes on after the last finished epoch."
    assert statuses(project, "mlp") == ["KILLED"]

    monkeypatch.setattr("sys.argv", ["pipeline", *long])
    monkeypatch.setattr(EpochCheckpoint, "on_train_epoch_end", stop_training)
    assert cli.main() == 0
    assert statuses(project, "mlp") == ["FINISHED"]
    steps = Counter(step for key, step, _ in recorded(project, "mlp") if key == "val/loss")
    assert set(steps.values()) == {1}
    assert set(steps) == set(range(1, len(steps) + 1))


def stop_training(_: EpochCheckpoint, trainer: Any, module: Any) -> None:
    trainer.should_stop = True


def statuses(project: Path, name: str) -> list[str]:
    found = rows(project / "mlflow.db", f"select status from runs where name = '{name}'")
    return [str(status) for (status,) in found]


def recorded(project: Path, name: str) -> list[tuple[str, int, float]]:
    """All metrics of a run: name, step, value."""
    query = "select key, step, value from metrics join runs using (run_uuid) where name = "
    return [
        (str(k), int(s), float(v)) for k, s, v in rows(project / "mlflow.db", query + f"'{name}'")
    ]


def untimed(found: list[tuple[str, int, float]]) -> list[tuple[str, int, float]]:
    return sorted(row for row in found if "time/" not in row[0])
