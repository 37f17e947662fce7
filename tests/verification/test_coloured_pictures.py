"""A person's own coloured pictures: a fault of a residual network is verified, then healed."""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from sklearn.metrics import log_loss

from coloured import make_coloured
from conftest import make_project
from pipeline import cli
from pipeline.config import compose
from pipeline.data.store import load_split
from pipeline.diagnosis.proof import Healing, Verification
from pipeline.files import read_record
from pipeline.models.saved import SavedModel, load_model
from pipeline.runs.files import RunFiles
from verified import working_in

SIDE, COUNTS = 16, (60, 50, 40)
DATA = (
    *("data=image_folder", "data.path=photos", "data.channels=3", f"data.image_size={SIDE}"),
    "data.validation_size=0.3",
)
TOO_LOW = 1e-5  # a hundredth of Adam's usual learning rate
PATIENT = (
    *("name=own", "model=resnet", "model.width=4", "model.depth=2", "model.blocks_per_stage=1"),
    *(f"optimizer.learning_rate={TOO_LOW}", "data.batch_size=8", "trainer.max_epochs=10"),
    *("trainer.accelerator=cpu", "trainer.num_threads=1", "signals.sample_size=20"),
    "tracking=none",
)
SEEDS = 4
RUNS = 17  # the first remedy and both controls
ASKED = ["name=own", f"seeds={SEEDS}", f"budget={RUNS}"]


@dataclass(frozen=True)
class Called:
    """A project after ``verify`` and then ``heal``, and what each of them printed.

    trials: of all studies, after each command.  files: bytes of the verification, likewise.
    """

    root: Path
    verify: str
    heal: str
    trials: tuple[int, int]
    files: tuple[bytes, bytes]


def printed(command: str, *words: str) -> str:
    """Run a command that must end with 0; return what it printed."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        assert cli.call(command, words) == 0
    return output.getvalue()


def num_trials(root: Path) -> int:
    with contextlib.closing(sqlite3.connect(root / "optuna.db")) as database:
        return int(database.execute("SELECT count(*) FROM trials").fetchone()[0])


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Called]:
    root = make_project(tmp_path_factory.mktemp("own"))
    make_coloured(root / "photos", side=SIDE, counts=COUNTS)
    with working_in(root):
        printed("preprocess", *DATA)
        printed("train", *DATA, *PATIENT)
        verify, trained = printed("verify", *ASKED), num_trials(root)
        record = root / "results/own/verification.json"
        written = record.read_bytes()
        heal = printed("heal", *ASKED, "rounds=1")
        trials, files = (trained, num_trials(root)), (written, record.read_bytes())
        yield Called(root, verify, heal, trials, files)


def found(called: Called) -> Verification:
    return read_record(called.root / "results/own/verification.json", Verification, way_out="")


def test_the_planted_fault_is_mended_and_the_claim_is_made(called: Called) -> None:
    verification = found(called)
    assert verification.symptom == "learning_rate_too_low"
    assert len(verification.arms) == 1 and verification.num_runs == RUNS
    assert verification.arms[0].name.startswith("learning_rate*")
    assert verification.proved and verification.experiment == "own_verified"
    assert verification.sentence in " ".join(called.verify.split())
    assert (called.root / "results/own/verification.png").stat().st_size > 10_000


def test_a_second_call_trains_nothing_and_says_so(called: Called) -> None:
    """The first round of the healing is the verification that is there already."""
    assert called.trials == (RUNS, RUNS)
    assert f"all {RUNS} runs are known from earlier calls" in called.heal
    assert not any(line.startswith("[") for line in called.heal.splitlines())
    assert called.files[0] == called.files[1]


def test_the_claim_is_that_of_the_pictures_themselves(called: Called) -> None:
    """Test losses of the trials' networks, by torch, numpy and scikit-learn alone."""
    verification = found(called)
    assert verification.claim is not None and verification.chosen is not None
    (change,) = verification.chosen.overrides
    rates = (TOO_LOW, float(change.removeprefix("optimizer.learning_rate=")))
    losses: dict[tuple[float, int], float] = {}
    for folder in (called.root / "multirun").rglob("models/own*"):
        model = load_model(folder)
        key = (model.settings.optimizer.learning_rate, model.settings.seed)
        losses[key] = loss_on_the_test_part(called.root, model)
    gains = [np.log(losses[rates[0], seed] / losses[rates[1], seed]) for seed in range(SEEDS)]
    assert verification.claim.remedy.value == pytest.approx(1 - np.exp(-np.mean(gains)), rel=1e-4)


def loss_on_the_test_part(root: Path, model: SavedModel) -> float:
    test = load_split(root / "data/processed/photos", "test")
    mean, std = (np.reshape(values, (1, 3, 1, 1)) for values in (model.mean, model.std))
    with torch.no_grad():
        inputs = torch.tensor((test.images / 255 - mean) / std, dtype=torch.float32)
        shares = model.network(inputs).double().softmax(1).numpy()
    loss = log_loss(test.labels, shares, labels=range(len(COUNTS)))
    train = load_split(root / "data/processed/photos", "train")
    # A loss counts up to twice that of guessing.
    return float(min(loss, 2 * entropy(np.bincount(train.labels))))


def test_healing_adopts_the_proof_and_its_experiment_trains(called: Called) -> None:
    healing = read_record(called.root / "results/own/healing.json", Healing, way_out="")
    (step,) = healing.steps
    chosen = found(called).chosen
    assert chosen is not None
    assert (step.verdict, step.adopted) == ("learning_rate_too_low", chosen.name)
    assert called.heal.splitlines()[-1] == f"pipeline train experiment={healing.experiment}"
    healed = compose([f"experiment={healing.experiment}"], root=called.root).settings
    assert (healed.model.name, healed.data.name) == ("resnet", "photos")
    with working_in(called.root):
        printed("train", f"experiment={healing.experiment}", "name=healed", "tracking=none")
    before, after = (RunFiles(called.root, name).read_history()[-1] for name in ("own", "healed"))
    assert after.metrics["val/loss"] < 0.5 * before.metrics["val/loss"]
    written = json.loads((called.root / "models/healed/model.json").read_text())
    assert written["input_shape"] == [3, SIDE, SIDE]
