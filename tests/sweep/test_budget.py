"""Budget: every row claimed once at a time, freed when its worker is gone, done once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import sqlalchemy as sql

from pipeline.sweep.budget import Budget


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'budget.db'}"


def budget(url: str, *, lease: float = 60.0, study: str = "s") -> Budget:
    engine = sql.create_engine(url, connect_args={"timeout": 60})
    slots = Budget(engine, study, lease=lease)
    slots.make_table()
    return slots


def test_each_slot_is_claimed_once_and_in_order(url: str) -> None:
    workers = [budget(url) for _ in range(4)]
    for worker in workers:
        worker.fill(3)
    claimed = [worker.claim() for worker in workers]
    assert [t.number for t in claimed if t] == [0, 1, 2]
    assert claimed[3] is None
    assert workers[0].count() == {"open": 3}


def test_a_larger_budget_adds_what_is_missing_and_a_smaller_one_takes_nothing(url: str) -> None:
    slots = budget(url)
    for total, expected in ((2, 2), (5, 5), (3, 5)):
        slots.fill(total)
        assert slots.count()["open"] == expected


def test_studies_do_not_see_each_other(url: str) -> None:
    one, two = budget(url, study="one"), budget(url, study="two")
    one.fill(1)
    assert two.claim() is None
    assert one.claim() is not None


def test_a_lease_that_ran_out_is_claimed_again_and_its_first_holder_cannot_renew(url: str) -> None:
    slow, quick = budget(url, lease=0.2), budget(url)
    slow.fill(1)
    held = slow.claim()
    assert held is not None
    slow.bind(held, 7)
    assert quick.claim() is None
    time.sleep(0.3)
    taken = quick.claim()
    assert taken is not None
    assert (taken.number, taken.trial, taken.attempts) == (0, 7, 2)
    assert not slow.renew(held)
    assert quick.renew(taken)


def test_a_renewed_lease_holds(url: str) -> None:
    worker, other = budget(url, lease=0.5), budget(url)
    worker.fill(1)
    held = worker.claim()
    assert held is not None
    for _ in range(4):
        time.sleep(0.2)
        assert worker.renew(held)
        assert other.claim() is None


def _claim_and_die(url: str) -> None:
    assert budget(url).claim() is not None


def test_the_slot_of_a_process_that_is_gone_is_free_at_once(url: str) -> None:
    slots = budget(url)
    slots.fill(1)
    child = multiprocessing.get_context("spawn").Process(target=_claim_and_die, args=(url,))
    child.start()
    child.join()
    assert child.exitcode == 0
    taken = slots.claim()  # long before the lease of 60 s is over
    assert taken is not None
    assert taken.attempts == 2


def test_a_killed_process_that_nobody_waited_for_is_gone_too(url: str) -> None:
    slots = budget(url)
    slots.fill(1)
    child = multiprocessing.get_context("spawn").Process(target=_claim_and_sleep, args=(url,))
    child.start()
    while slots.claimable():
        time.sleep(0.05)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)  # and not joined: it stays as a zombie
    deadline = time.monotonic() + 10
    while (taken := slots.claim()) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert taken is not None
    child.join()


def _claim_and_sleep(url: str) -> None:
    assert budget(url).claim() is not None
    time.sleep(60)


def test_released_slots_count_as_not_tried_and_closed_ones_are_never_claimed_again(
    url: str,
) -> None:
    slots = budget(url)
    slots.fill(1)
    held = slots.claim()
    assert held is not None
    slots.bind(held, 0)
    slots.release(held)
    again = slots.claim()
    assert again is not None
    assert again.attempts == 1
    slots.close(again, "complete")
    slots.close(again, "failed")  # the first outcome stays
    assert slots.claim() is None
    assert slots.count() == {"complete": 1}


def _take_all(url: str, found: multiprocessing.Queue[int]) -> None:
    slots = budget(url)
    slots.fill(40)
    while slot := slots.claim():
        found.put(slot.number)
        slots.close(slot, "complete")


def test_four_processes_share_forty_slots_exactly(url: str) -> None:
    budget(url)
    context = multiprocessing.get_context("spawn")
    found = context.Queue()
    workers = [context.Process(target=_take_all, args=(url, found)) for _ in range(4)]
    for worker in workers:
        worker.start()
    numbers = [found.get(timeout=60) for _ in range(40)]
    for worker in workers:
        worker.join()
    assert sorted(numbers) == list(range(40))
    assert budget(url).count() == {"complete": 40}
