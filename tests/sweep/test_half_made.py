"""kill -9 at every moment of a trial's record: the next start finishes the trial.

A killed process leaves what it has committed, and nothing else. So a copy of the database before
each commit of a whole sweep holds every state that a kill can leave, without any timing.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql
from hydra.core.utils import JobReturn, JobStatus
from optuna.trial import FrozenTrial, TrialState

from pipeline.sweep.budget import Budget
from pipeline.sweep.grammar import parse_space
from pipeline.sweep.plan import WorkerPlan
from pipeline.sweep.storage import open_storage
from pipeline.sweep.study import open_study
from pipeline.sweep.worker import Worker

TOTAL = 2
# The state of the last slot's trial, the number of its parameters, whether the slot knows it.
STATES = {
    "only_the_slot_is_claimed": (None, 0, False),
    "the_slot_does_not_know_it": ("WAITING", 0, False),
    "it_waits": ("WAITING", 0, True),
    "it_runs_without_parameters": ("RUNNING", 0, True),
    "it_has_one_of_two_parameters": ("RUNNING", 1, True),
    "it_has_its_parameters": ("RUNNING", 2, True),
    "the_slot_is_still_open": ("COMPLETE", 2, True),
}
INTERVALS = ["x=interval(-1,1)", "y=interval(0,9)"]
SEARCHES = {
    "every_combination": (["x=1,2", "y=5,6"], "random"),
    "random": (INTERVALS, "random"),
    "tpe": (INTERVALS, "tpe"),
}


class Squares(Worker):
    """A worker whose task is one line."""

    def _job(self, number: int, overrides: list[str], *, seed: int | None = None) -> Any:
        values = [float(override.partition("=")[2]) for override in overrides]
        return JobReturn(_return_value=sum(v * v for v in values), status=JobStatus.COMPLETED)


@dataclass(frozen=True)
class Search:
    """A search by a sampler; `work` runs it in a folder, as one start of the command does."""

    space: list[str]
    sampler: str

    def work(self, folder: Path) -> list[FrozenTrial]:
        url = f"sqlite:///{folder / 'optuna.db'}"
        space = parse_space(self.space)
        plan = WorkerPlan(
            storage=url,
            study_name="s",
            space=space,
            directions=("minimize",),
            n_trials=TOTAL,
            enumerate_all=space.size is not None,
            sampler={"name": self.sampler, "seed": 0},
            pruner={"name": "none"},
            max_failures=TOTAL,
            max_attempts=3,
            lease=60,
            print_trials=False,
        )
        database = open_storage(url)
        study = open_study(
            database, "s", directions=["minimize"], signature=plan.signature, folder=""
        )
        budget = Budget(database.engine, "s", lease=60)
        budget.fill(TOTAL)
        Squares(plan, hydra_context=None, config=None, task_function=None).work()
        assert budget.count()["open"] == 0
        database.engine.dispose()
        return study.get_trials()


@contextlib.contextmanager
def copied_before_each_commit(database: Path) -> Iterator[list[bytes]]:
    """Collect the contents of a database that a kill could leave, each of them once."""
    contents: list[bytes] = []

    def copy(_: Any) -> None:
        if not database.is_file():
            return
        with contextlib.closing(sqlite3.connect(database)) as source:
            content = source.serialize()  # what is committed, not what waits for the commit
        if content not in contents:
            contents.append(content)

    sql.event.listen(sql.Engine, "commit", copy)
    try:
        yield contents
    finally:
        sql.event.remove(sql.Engine, "commit", copy)


def last_slot(database: sqlite3.Connection) -> tuple[str | None, int, bool] | None:
    """Return what `STATES` describes; None where the last slot was not claimed, or is closed."""
    slots = database.execute(
        "select trial from pipeline_tickets where attempts = 1 and outcome is null and ticket = ?",
        (TOTAL - 1,),
    ).fetchall()
    if not slots:
        return None
    trials = database.execute(
        "select state, (select count(*) from trial_params p where p.trial_id = t.trial_id)"
        " from trials t where number = ?",
        (TOTAL - 1,),
    ).fetchall()
    state, count = trials[0] if trials else (None, 0)
    return state, count, slots[0][0] is not None


def left_behind(folder: Path, content: bytes, *, attempts: int = 1) -> None:
    """Make a folder with a database whose process is gone. attempts: at the open trial, so far."""
    folder.mkdir()
    (folder / "optuna.db").write_bytes(content)
    with contextlib.closing(sqlite3.connect(folder / "optuna.db")) as database, database:
        database.execute(
            "update pipeline_tickets set expires = 0, attempts = ? where owner is not null",
            (attempts,),
        )


@dataclass(frozen=True)
class Recorded:
    """A sweep that was never killed, and what a kill in its last trial could have left."""

    search: Search
    whole: list[FrozenTrial]
    states: dict[tuple[str | None, int, bool], bytes]


@pytest.fixture(scope="module", params=SEARCHES)
def recorded(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    search = Search(*SEARCHES[request.param])
    folder = tmp_path_factory.mktemp(request.param)
    with copied_before_each_commit(folder / "optuna.db") as contents:
        whole = search.work(folder)
    states = {}
    for content in contents:
        with contextlib.closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(content)
            tables = database.execute("select name from sqlite_master").fetchall()
            state = last_slot(database) if ("pipeline_tickets",) in tables else None
        if state is not None:
            states[state] = content
    return Recorded(search, whole, states)


def test_the_copies_hold_every_state_that_a_kill_can_leave(recorded: Recorded) -> None:
    assert set(recorded.states) == set(STATES.values())


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_the_next_start_ends_the_sweep(
    state: tuple[str | None, int, bool], recorded: Recorded, tmp_path: Path
) -> None:
    left_behind(tmp_path / "later", recorded.states[state])
    ended = recorded.search.work(tmp_path / "later")
    assert [t.state for t in ended] == [TrialState.COMPLETE] * TOTAL
    assert [t.user_attrs["ticket"] for t in ended] == list(range(TOTAL))
    assert [t.value for t in ended] == [sum(v * v for v in t.params.values()) for t in ended]
    points = [t.params for t in recorded.whole]
    if state == STATES["it_has_one_of_two_parameters"] and recorded.search.space == INTERVALS:
        points[-1] = {**points[-1], "y": ended[-1].params["y"]}  # a sampler draws it anew
    assert [t.params for t in ended] == points


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_a_trial_without_attempts_fails_with_its_point(
    state: tuple[str | None, int, bool], recorded: Recorded, tmp_path: Path
) -> None:
    """A combination is known before it is recorded, and a verification looks it up."""
    left_behind(tmp_path / "later", recorded.states[state], attempts=3)
    *_, last = recorded.search.work(tmp_path / "later")
    if state == STATES["the_slot_is_still_open"]:
        assert last.state == TrialState.COMPLETE
        return
    assert (last.state, last.user_attrs["failure"]) == (
        TrialState.FAIL,
        "its worker was killed 3 times",
    )
    if recorded.search.space != INTERVALS:
        assert last.params == recorded.whole[-1].params
