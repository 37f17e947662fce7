"""A run as one trial of a sweep: its report, its notes, and its end when it is pruned or lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands import train_job as command
from pipeline.config import compose
from pipeline.records import EpochRecord
from pipeline.runs.alone import Alone
from pipeline.runs.network import untrained_network
from pipeline.runs.role import Role
from pipeline.runs.trial import TrialOfSweep, role_of
from pipeline.sweep.trial import RunningTrial
from small_mnist import load_prepared

TINY = (
    *("tracking=none", "trainer.accelerator=cpu", "trainer.precision=32", "model.width=8"),
    *("model.depth=1", "trainer.sample_size=50", "trainer.max_epochs=2", "signals=none"),
)


@dataclass
class Trial:
    """Optuna's trial: it prunes from the first report on, if it prunes at all."""

    prunes: bool = False
    number: int = 7
    reports: list[tuple[float, int]] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    def report(self, value: float, step: int) -> None:
        self.reports.append((value, step))

    def should_prune(self) -> bool:
        return self.prunes

    def set_user_attr(self, key: str, value: Any) -> None:
        self.notes[key] = value


def running(trial: Trial, **state: bool) -> RunningTrial:
    return RunningTrial(trial, "study", {}, prunes=True, **state)


def trained_as(role: Role, root: Path) -> float:
    """Train a small network in this role; the folder of the job is ``job``."""
    config = compose(TINY, root=root)
    data = load_prepared(num_train=200)
    network = untrained_network(config.settings, data.card, root=root)
    train = partial(command._train, network, data, config, root=root, role=role)
    objective = train(root / "job")
    assert isinstance(objective, float)
    return objective


def test_a_run_outside_a_sweep_stands_alone() -> None:
    assert isinstance(role_of(None), Alone)
    assert isinstance(role_of(running(Trial())), TrialOfSweep)


def test_a_trial_reports_its_objective_with_epochs_counted_from_1() -> None:
    trial = Trial()
    (report,) = TrialOfSweep(running(trial)).observers("val/loss")
    assert report(EpochRecord(0, 10, {"val/loss": 0.5})) is False
    assert report(EpochRecord(1, 20, {"val/loss": 0.4})) is False
    assert trial.reports == [(0.5, 1), (0.4, 2)]


def test_a_pruned_trial_is_told_to_stop() -> None:
    (report,) = TrialOfSweep(running(Trial(prunes=True))).observers("val/loss")
    assert report(EpochRecord(0, 10, {"val/loss": 0.5})) is True


def test_an_objective_that_no_epoch_measures_is_not_reported() -> None:
    trial = Trial(prunes=True)
    (report,) = TrialOfSweep(running(trial)).observers("parameters")
    assert report(EpochRecord(0, 10, {"val/loss": 0.5})) is False
    assert trial.reports == []


@pytest.mark.parametrize(
    ("state", "ended", "recorded"),
    [
        pytest.param({}, "FINISHED", "FINISHED", id="complete"),
        pytest.param({}, "FAILED", "FAILED", id="failed"),
        pytest.param({"pruned": True}, "FINISHED", "KILLED", id="pruned"),
        pytest.param({"pruned": True}, "FAILED", "FAILED", id="pruned_and_failed"),
        pytest.param({"lost": True}, "FINISHED", None, id="lost"),
        pytest.param({"lost": True}, "KILLED", None, id="lost_and_interrupted"),
    ],
)
def test_the_tracked_run_ends_as_its_trial(
    state: dict[str, bool], ended: str, recorded: str | None
) -> None:
    assert TrialOfSweep(running(Trial(), **state)).status_of(ended) == recorded


def test_a_complete_trial_notes_its_numbers_and_leaves_a_model(project: Path) -> None:
    trial = Trial()
    objective = trained_as(TrialOfSweep(running(trial)), project)
    assert trial.notes["objective"] == "val/loss"
    assert trial.notes["metrics"]["val/loss"] == objective
    assert trial.notes["metrics"]["parameters"] == 6370.0
    assert (project / "job" / "models" / "mlp" / "model.json").is_file()


def test_a_pruned_trial_leaves_its_history_but_no_model(project: Path) -> None:
    trained_as(TrialOfSweep(running(Trial(prunes=True))), project)
    history = project / "job" / "results" / "mlp" / "history.csv"
    assert len(history.read_text().splitlines()) == 1 + 1  # the head and one epoch
    assert not (project / "job" / "models").exists()
    assert not list((project / "checkpoints").glob("*/last.ckpt"))


def test_a_lost_trial_leaves_its_checkpoint_to_the_other_worker_and_no_notes(
    project: Path,
) -> None:
    trial = Trial()
    trained_as(TrialOfSweep(running(trial, lost=True)), project)
    assert trial.notes == {}
    assert not (project / "job" / "models").exists()
    assert len(list((project / "checkpoints").glob("*/last.ckpt"))) == 1
