"""The tracked run of a training: opened once, resumed after a kill, ended as the training."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import RunConfig, compose
from pipeline.runs.alone import Alone
from pipeline.runs.resume import resumable
from pipeline.runs.role import Role
from pipeline.runs.tracked import tracked_run
from pipeline.runs.trial import TrialOfSweep
from pipeline.sweep.trial import RunningTrial
from pipeline.tracking import NoRun, open_tracker
from small_mnist import load_prepared

CARD = load_prepared(num_train=200).card


class Killed(BaseException):
    """The end of a process in the middle of a training."""


class Trial:
    """Optuna's trial number 3."""

    number = 3

    def __init__(self) -> None:
        self.notes: dict[str, Any] = {}

    def set_user_attr(self, key: str, value: Any) -> None:
        self.notes[key] = value


def recorded(config: RunConfig, root: Path, role: Role, error: BaseException | None = None) -> str:
    """Open the run of a training that ends in this way; return its key."""
    with (
        contextlib.suppress(*([type(error)] if error else [])),
        resumable(config, CARD, role=role, root=root) as resume,
        tracked_run(config, CARD, role=role, resume=resume, root=root) as run,
    ):
        key = run.key
        if error:
            raise error
    return key


def stored(config: RunConfig, root: Path, key: str) -> Any:
    """Return the only run that MLflow has of a key."""
    tracker = open_tracker(config.settings.tracking, root=root)
    assert tracker is not None
    (experiment,) = tracker.client.search_experiments(filter_string="name = 'mnist'")
    query = f"tags.`pipeline.key` = '{key}'"
    (run,) = tracker.client.search_runs([experiment.experiment_id], query)
    return run


@pytest.fixture
def config(project: Path) -> RunConfig:
    return compose([], root=project)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(None, "FINISHED", id="finished"),
        pytest.param(ValueError(), "FAILED", id="failed"),
        pytest.param(KeyboardInterrupt(), "KILLED", id="interrupted"),
    ],
)
def test_a_run_ends_as_its_training(
    config: RunConfig, project: Path, error: BaseException | None, status: str
) -> None:
    run_id = recorded(config, project, Alone(), error)
    assert stored(config, project, run_id).info.status == status


def test_a_new_run_holds_configuration_and_provenance(config: RunConfig, project: Path) -> None:
    run = stored(config, project, recorded(config, project, Alone()))
    assert run.info.run_name == "mlp"
    assert run.data.params["optimizer.learning_rate"] == "0.001"
    assert {"data.sha256", "config.sha256"} <= run.data.tags.keys()


def test_an_interrupted_run_is_resumed_as_the_same_run(config: RunConfig, project: Path) -> None:
    first = recorded(config, project, Alone(), Killed())
    assert recorded(config, project, Alone()) == first
    assert stored(config, project, first).info.status == "FINISHED"


def test_the_run_of_a_killed_worker_is_the_run_of_the_next_one(
    config: RunConfig, project: Path
) -> None:
    def role() -> TrialOfSweep:
        return TrialOfSweep(RunningTrial(Trial(), "study", {}))

    first = recorded(config, project, role(), Killed())
    assert recorded(config, project, role()) == first
    assert stored(config, project, first).info.run_name == "#3 mlp"


def test_a_trial_opens_a_run_and_notes_it(config: RunConfig, project: Path) -> None:
    trial = Trial()
    role = TrialOfSweep(RunningTrial(trial, "study", {}))
    run_id = recorded(config, project, role)
    assert trial.notes == {"mlflow_run": run_id}
    tags = stored(config, project, run_id).data.tags
    assert (tags["optuna.study"], tags["optuna.trial"]) == ("study", "3")


def test_the_run_of_a_lost_trial_stays_open_for_the_other_worker(
    config: RunConfig, project: Path
) -> None:
    role = TrialOfSweep(RunningTrial(Trial(), "study", {}, lost=True))
    run_id = recorded(config, project, role)
    assert stored(config, project, run_id).info.status == "RUNNING"


def test_without_tracking_nothing_is_opened(project: Path) -> None:
    config = compose(["tracking=none"], root=project)
    with (
        resumable(config, CARD, role=Alone(), root=project) as resume,
        tracked_run(config, CARD, role=Alone(), resume=resume, root=project) as run,
    ):
        assert isinstance(run, NoRun)
        assert resume.read_note() == {}
    assert not (project / "mlflow.db").exists()
