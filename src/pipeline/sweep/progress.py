"""How far a sweep is, as one line that stays in place: on a terminal only."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

import optuna
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from sqlalchemy.exc import SQLAlchemyError

from pipeline.sweep.tickets import Tickets

POLL_S = 1.0


def wanted() -> bool:
    """Whether there is a terminal to draw on; else each trial that ends is one line."""
    return sys.stderr.isatty()


@contextlib.contextmanager
def shown(tickets: Tickets, study: optuna.Study) -> Iterator[None]:
    """Draw the line while the block runs, from the tickets, so that other processes' trials count too."""
    if not wanted():
        yield
        return
    # What is written to a file through stdout stays there.
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:.0f}/{task.total:.0f}  {task.fields[told]}"),
        console=Console(stderr=True),
        refresh_per_second=2,
        redirect_stdout=sys.stdout.isatty(),
    )
    over = threading.Event()
    with bar:
        view = _View(bar, tickets, study)
        thread = threading.Thread(target=view.follow, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


class _View:
    def __init__(self, bar: Progress, tickets: Tickets, study: optuna.Study) -> None:
        self.bar, self.tickets, self.study = bar, tickets, study
        self.began = time.monotonic()
        counts = tickets.count()
        self.done_before = counts.total() - counts["open"]
        self.task = bar.add_task(study.study_name, total=counts.total(), told="")

    def follow(self, over: threading.Event) -> None:
        while True:
            last = over.is_set()  # one more look after the end, so that the line is right when it stays
            with contextlib.suppress(SQLAlchemyError, optuna.exceptions.StorageInternalError):
                self._update()
            if last:
                return
            over.wait(POLL_S)

    def _update(self) -> None:
        counts = self.tickets.count()
        done = counts.total() - counts["open"]
        running = counts["open"] - self.tickets.claimable()
        told = [f"{counts[name]} {name}" for name in ("complete", "pruned", "failed") if counts[name]]
        told += [f"{running} running"] if running else []
        if counts["complete"] and len(self.study.directions) == 1:
            best = self.study.best_trial
            told.append(f"best {best.value:.5g} (#{best.number})")
        fresh = done - self.done_before
        if fresh and counts["open"]:
            left = (time.monotonic() - self.began) / fresh * counts["open"]
            told.append(f"{_duration(left)} left")
        self.bar.update(self.task, completed=done, total=counts.total(), told=", ".join(told))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
    )
