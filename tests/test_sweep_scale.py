"""What a worker asks of its study for one trial does not grow with the number of trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sql

from pipeline.sweep.space import Space, parse_space
from pipeline.sweep.standing import Standing
from pipeline.sweep.study import Database, open_storage, open_study
from pipeline.sweep.tickets import Tickets
from pipeline.sweep.worker import Plan, Worker


class NoTask(Worker):
    """A worker whose jobs cost nothing: what is left is the sweep's own work."""

    def _job(self, number: int, overrides: list[str]) -> Any:
        from hydra.core.utils import JobReturn, JobStatus

        return JobReturn(_return_value=float(number % 7), status=JobStatus.COMPLETED)


def planned(folder: Path, total: int, *, every: bool) -> tuple[Database, Tickets, NoTask]:
    space = parse_space([f"x=range({total})"] if every else ["x=interval(0,1)"])
    url = f"sqlite:///{folder / f'{total}.db'}"
    plan = Plan(
        storage=url, study_name="s", space=space, directions=("minimize",), n_trials=total, enumerate_all=every,
        sampler={"name": "random", "seed": 0}, pruner={"name": "none"}, max_failures=0, max_attempts=3, lease=60,
    )  # fmt: skip
    database = open_storage(url)
    open_study(database, "s", directions=["minimize"], signature=space.signature(), folder="")
    tickets = Tickets(database.engine, "s", lease=60)
    tickets.fill(total)
    return database, tickets, NoTask(plan, hydra_context=None, config=None, task_function=None)


@pytest.mark.parametrize("every", [False, True])
def test_a_trial_reads_as_much_of_a_large_study_as_of_a_small_one(
    every: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Counter[str] = Counter()
    whole = optuna.storages._cached_storage._CachedStorage.get_all_trials
    points = Space.points

    def get_all_trials(*args: Any, **kwargs: Any) -> Any:
        read["whole study"] += 1
        return whole(*args, **kwargs)

    def counted(space: Space) -> Iterator[dict[str, Any]]:
        for point in points(space):
            read["points"] += 1
            yield point

    def sent(*_: Any) -> None:
        read["statements"] += 1

    monkeypatch.setattr(optuna.storages._cached_storage._CachedStorage, "get_all_trials", get_all_trials)
    monkeypatch.setattr(Space, "points", counted)
    monkeypatch.setattr(Standing, "_refresh", lambda *_: None)  # its own test is below
    found = {}
    for total in (10, 40):
        _, tickets, worker = planned(tmp_path, total, every=every)
        read.clear()
        sql.event.listen(sql.Engine, "before_cursor_execute", sent)
        try:
            assert worker.work() == total
        finally:
            sql.event.remove(sql.Engine, "before_cursor_execute", sent)
        assert tickets.count() == {"complete": total}
        assert read["whole study"] == 0
        assert read["points"] == (total if every else 0)
        found[total] = read["statements"]
    # What opening the database takes cancels out, since it is the same twice.
    per_trial = (found[40] - found[10]) / 30
    assert found[10] - 10 * per_trial == pytest.approx(found[40] - 40 * per_trial)
    assert per_trial < 60


def test_a_claim_finds_its_row_by_an_index(tmp_path: Path) -> None:
    _, tickets, _ = planned(tmp_path, 5, every=False)
    sent: list[tuple[str, Any]] = []
    sql.event.listen(tickets.engine, "before_cursor_execute", lambda *a: sent.append((a[2], a[3])))
    assert tickets.claim()
    (update,) = [pair for pair in sent if pair[0].startswith("UPDATE")]
    with tickets.engine.connect() as connection:
        steps = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {update[0]}", update[1])]
    assert any("pipeline_tickets_open (study=? AND outcome=?)" in step for step in steps), steps
    assert not any("TEMP B-TREE" in step for step in steps), steps


def test_the_standing_is_read_at_most_a_twentieth_of_the_time_and_adds_its_own() -> None:
    now, reads = [0.0], []

    class Rows:
        def count(self) -> Counter[str]:
            reads.append(now[0])
            now[0] += 1.0  # a reading takes a second
            return Counter(complete=5, open=95)

    study = optuna.create_study()
    study.add_trial(optuna.trial.create_trial(value=0.5))
    standing = Standing(Rows(), directions=("minimize",), n_trials=100, clock=lambda: now[0])  # type: ignore[arg-type]
    ended = optuna.trial.create_trial(value=0.25)
    for _ in range(60):
        now[0] += 0.5
        standing.add("complete", ended)
        told = standing.line(study, "complete", ended)
    assert len(reads) == 2  # in 32 s
    assert standing.best == (0.25, ended.number)
    assert told.startswith("[") and "/100]" in told
