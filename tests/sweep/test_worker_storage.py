"""The storage of a worker answers as Optuna's own does, with fewer looks into the database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sql
from optuna.trial import TrialState

from pipeline.sweep.storage import Database, open_storage
from pipeline.sweep.worker_storage import WorkerStorage


@pytest.fixture
def database(tmp_path: Path) -> Database:
    found = open_storage(f"sqlite:///{tmp_path / 'optuna.db'}")
    optuna.create_study(storage=found.storage, study_name="s")
    return found


def opened(database: Database, **settings: Any) -> optuna.Study:
    storage = WorkerStorage(database.backend, **settings)
    return optuna.load_study(study_name="s", storage=storage)


def taken(study: optuna.Study) -> optuna.Trial:
    """A new trial that the worker's storage knows as its own."""
    storage = study._storage
    assert isinstance(storage, WorkerStorage)
    template = optuna.trial.create_trial(state=TrialState.WAITING, user_attrs={"ticket": 1})
    trial_id = storage.create_new_trial(study._study_id, template_trial=template)
    storage.take(trial_id)
    storage.set_trial_state_values(trial_id, TrialState.RUNNING)
    return optuna.Trial(study, trial_id)


def as_others_see_it(database: Database, number: int) -> optuna.trial.FrozenTrial:
    trials = database.backend.get_all_trials(database.backend.get_all_studies()[0]._study_id)
    return trials[number]


def same(own: optuna.trial.FrozenTrial, stored: optuna.trial.FrozenTrial) -> bool:
    """Compare all but the times, which each of the two reads from the clock itself."""
    parts = [vars(trial).copy() for trial in (own, stored)]
    for part in parts:
        part["datetime_start"] = part["_datetime_start"] = part["datetime_complete"] = None
    return parts[0] == parts[1]


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL])
def test_the_own_trial_equals_the_stored_one_after_every_write(
    state: TrialState, database: Database
) -> None:
    study = opened(database)
    trial = taken(study)
    writes = [
        lambda: trial.suggest_float("rate", 1e-5, 1e-1, log=True),
        lambda: trial.suggest_int("depth", 1, 9, step=2),
        lambda: trial.suggest_categorical("kind", ["a", None, 3]),
        lambda: trial.report(0.25, 0),
        lambda: trial.report(float("inf"), 1),
        lambda: trial.report(0.125, 2),
        lambda: trial.set_user_attr("pair", (1, "x")),
        lambda: trial.set_user_attr("pair", {"a": (2.5, None)}),
        lambda: trial.set_constraint("size", -1.5),
        lambda: study.tell(
            trial.number, 0.5 if state == TrialState.COMPLETE else None, state=state
        ),
    ]
    for write in writes:
        write()
        stored = as_others_see_it(database, 0)
        assert same(study._storage.get_trial(trial._trial_id), stored)
        assert same(study.get_trials(deepcopy=False)[0], stored)
    assert stored.state == state


def test_an_own_trial_that_another_worker_ended_is_read_as_ended(database: Database) -> None:
    study = opened(database, clock=lambda: 0.0)
    trial = taken(study)
    others = optuna.load_study(study_name="s", storage=database.backend)
    others.tell(0, 42.0)
    assert [t.value for t in study.get_trials()] == [42.0]
    with pytest.raises(ValueError, match="Cannot tell a COMPLETE trial"):
        study.tell(trial.number, 1.0)
    taken(study)
    assert [t.value for t in study.get_trials()] == [42.0, None]


def test_a_worker_changes_nothing_by_changing_what_it_read(database: Database) -> None:
    study = opened(database)
    trial = taken(study)
    study._storage.get_trial(trial._trial_id).user_attrs["new"] = 1
    assert "new" not in study._storage.get_trial(trial._trial_id).user_attrs


def test_reports_read_nothing_of_the_own_trial(database: Database) -> None:
    trial = taken(opened(database))
    sent: list[str] = []
    sql.event.listen(database.engine, "before_cursor_execute", lambda *a: sent.append(a[2]))
    trial.report(0.5, 0)
    assert [text.split()[0] for text in sent] == ["SELECT", "SELECT", "INSERT"]
    sent.clear()
    assert trial.user_attrs == {"ticket": 1}
    assert trial.study._storage.get_trial(trial._trial_id).intermediate_values == {0: 0.5}
    assert sent == []


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, which only readings of the study move: each takes 0.25 s."""
    seconds = [0.0]
    of_optuna = optuna.storages._cached_storage._CachedStorage
    read = of_optuna._read_trials_from_remote_storage

    def slow(*arguments: Any) -> None:
        seconds[0] += 0.25
        read(*arguments)

    monkeypatch.setattr(of_optuna, "_read_trials_from_remote_storage", slow)
    return seconds


def test_other_trials_are_read_again_after_a_rest(database: Database, now: list[float]) -> None:
    others = optuna.load_study(study_name="s", storage=database.backend)
    study = opened(database, clock=lambda: now[0])
    storage = study._storage
    assert isinstance(storage, WorkerStorage)

    assert study.get_trials() == []
    others.add_trial(optuna.trial.create_trial(value=1.0))
    now[0] = 0.25 + 20 * 0.25 - 0.01
    assert study.get_trials() == []
    now[0] += 0.02
    assert [t.value for t in study.get_trials()] == [1.0]

    others.add_trial(optuna.trial.create_trial(value=2.0))
    assert len(study.get_trials()) == 1
    storage.refresh()
    assert len(study.get_trials()) == 2


def test_the_own_trial_is_never_stale(database: Database, now: list[float]) -> None:
    study = opened(database, clock=lambda: now[0])
    for number in range(3):
        trial = taken(study)
        assert [t.state.name for t in study.get_trials()] == ["COMPLETE"] * number + ["RUNNING"]
        study.tell(trial.number, float(number))
    assert [t.value for t in study.get_trials()] == [0.0, 1.0, 2.0]
    assert now == [0.25]  # one reading
