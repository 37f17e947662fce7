"""The work for one trial does not grow with the number of trials in its study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sql

from pipeline.sweep.budget import Budget
from pipeline.sweep.grammar import parse_space
from pipeline.sweep.plan import WorkerPlan
from pipeline.sweep.space import Space
from pipeline.sweep.storage import Database, open_storage
from pipeline.sweep.study import open_study
from pipeline.sweep.trial_log import TrialLog
from pipeline.sweep.worker import Worker


class NoTask(Worker):
    """A worker whose jobs cost nothing: what is left is the sweep's own work."""

    def _job(self, number: int, overrides: list[str], *, seed: int | None = None) -> Any:
        from hydra.core.utils import JobReturn, JobStatus

        return JobReturn(_return_value=float(number % 7), status=JobStatus.COMPLETED)


def planned(folder: Path, total: int, *, every: bool) -> tuple[Database, Budget, NoTask]:
    space = parse_space([f"x=range({total})"] if every else ["x=interval(0,1)"])
    url = f"sqlite:///{folder / f'{total}.db'}"
    plan = WorkerPlan(
        storage=url,
        study_name="s",
        space=space,
        directions=("minimize",),
        n_trials=total,
        enumerate_all=every,
        sampler={"name": "random", "seed": 0},
        pruner={"name": "none"},
        max_failures=0,
        max_attempts=3,
        lease=60,
    )
    database = open_storage(url)
    open_study(database, "s", directions=["minimize"], signature=space.signature(), folder="")
    budget = Budget(database.engine, "s", lease=60)
    budget.fill(total)
    return database, budget, NoTask(plan, hydra_context=None, config=None, task_function=None)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Counts readings of the whole study, points that a walk passes, and SQL statements."""
    counts: Counter[str] = Counter()
    cached = optuna.storages._cached_storage._CachedStorage
    whole, points = cached.get_all_trials, Space.points

    def get_all_trials(*args: Any, **kwargs: Any) -> Any:
        counts["whole study"] += 1
        return whole(*args, **kwargs)

    def walk(space: Space) -> Iterator[dict[str, Any]]:
        for point in points(space):
            counts["points"] += 1
            yield point

    def sent(*_: Any) -> None:
        counts["statements"] += 1

    monkeypatch.setattr(cached, "get_all_trials", get_all_trials)
    monkeypatch.setattr(Space, "points", walk)
    sql.event.listen(sql.Engine, "before_cursor_execute", sent)
    yield counts
    sql.event.remove(sql.Engine, "before_cursor_execute", sent)


@pytest.mark.parametrize("every", [False, True])
def test_a_trial_reads_as_much_of_a_large_study_as_of_a_small_one(
    every: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: Counter[str]
) -> None:
    monkeypatch.setattr(TrialLog, "_refresh", lambda *_: None)  # its own test is below
    statements = {}
    for total in (10, 25, 40):
        _, budget, worker = planned(tmp_path, total, every=every)
        reads.clear()
        assert worker.work() == total
        statements[total] = reads["statements"]
        assert reads["whole study"] == 0
        assert reads["points"] == (total if every else 0)
        assert budget.count() == {"complete": total}
    # The statements that open the database cancel out, since they are the same each time.
    early, late = statements[25] - statements[10], statements[40] - statements[25]
    assert early == late
    assert late / 15 < 60


def test_a_claim_finds_its_row_by_an_index(tmp_path: Path) -> None:
    _, budget, _ = planned(tmp_path, 5, every=False)
    sent: list[tuple[str, Any]] = []
    sql.event.listen(budget.engine, "before_cursor_execute", lambda *a: sent.append((a[2], a[3])))
    assert budget.claim()
    (update,) = [pair for pair in sent if pair[0].startswith("UPDATE")]
    with budget.engine.connect() as connection:
        steps = [
            row[3]
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {update[0]}", update[1])
        ]
    assert any("pipeline_tickets_open (study=? AND outcome=?)" in step for step in steps), steps
    assert not any("TEMP B-TREE" in step for step in steps), steps


def test_the_log_reads_at_most_a_twentieth_of_the_time_and_adds_its_own() -> None:
    now, reads = [0.0], []

    class Rows:
        def count(self) -> Counter[str]:
            reads.append(now[0])
            now[0] += 1.0  # a reading takes a second
            return Counter(complete=5, open=95)

    study = optuna.create_study()
    study.add_trial(optuna.trial.create_trial(value=0.5))
    trial_log = TrialLog(Rows(), directions=("minimize",), n_trials=100, clock=lambda: now[0])  # type: ignore[arg-type]
    ended = optuna.trial.create_trial(value=0.25)
    for _ in range(60):
        now[0] += 0.5
        trial_log.add("complete", ended)
        line = trial_log.line(study, "complete", ended)
    assert len(reads) == 2  # in 32 s
    assert trial_log.best == (0.25, ended.number)
    # The last reading counted 5; 19 trials of this worker have ended since.
    assert line.startswith("[24/100] #-1 complete 0.25  best 0.25 (#-1)"), line


def test_the_line_of_a_trial_names_its_objective_and_writes_settings_as_overrides() -> None:
    class NoRows:
        def count(self) -> Counter[str]:
            return Counter()

    choices = optuna.distributions.CategoricalDistribution([None, 3])
    ended = optuna.trial.create_trial(
        value=0.25,
        params={"trainer.early_stopping_patience": None},
        distributions={"trainer.early_stopping_patience": choices},
        user_attrs={"objective": "val/loss"},
    )
    trial_log = TrialLog(NoRows(), directions=("minimize",), n_trials=2)  # type: ignore[arg-type]
    line = trial_log.line(optuna.create_study(), "complete", ended)
    assert "complete val/loss 0.25  0.0 s  trainer.early_stopping_patience=null" in line, line
