"""The progress of a sweep: on a terminal, one line that stays in place and fits its width.

Without a terminal, each trial that ends prints a line (`pipeline.sweep.trial_log`). A caller that
runs several sweeps as one task gives a `Watcher` instead, and shows its own progress.
"""

from __future__ import annotations

import _thread
import contextlib
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from statistics import fmean
from typing import Protocol

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.live import Live
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from pipeline.sweep.analysis import FinishedTrial, finished_trials
from pipeline.sweep.budget import Budget
from pipeline.sweep.constraints import is_feasible
from pipeline.sweep.seed_groups import has_seed
from pipeline.sweep.trial import SECONDS

POLL_S = 1.0
OUTCOMES = ("complete", "pruned", "failed")


class Watcher(Protocol):
    """Follows the sweeps of this process and shows their progress; they print nothing then."""

    def update(self, study_name: str, trials: Sequence[FinishedTrial], *, running: int) -> None:
        """Receive the trials that ended, by number. Called from another thread.

        running: how many trials run now.
        """


_watcher: Watcher | None = None


@contextlib.contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Let a watcher follow every sweep that runs in this block."""
    global _watcher
    _watcher = watcher
    try:
        yield
    finally:
        _watcher = None


def watched() -> bool:
    """Return whether a watcher shows the progress, so that the sweep itself prints nothing."""
    return _watcher is not None


def has_terminal() -> bool:
    """Return whether the line can be drawn, which needs a terminal for stderr."""
    return sys.stderr.isatty()


def outcomes(counts: Mapping[str, int]) -> str:
    """Return the counts that are not 0, as ``11 complete, 1 failed``."""
    return ", ".join(f"{counts[name]} {name}" for name in OUTCOMES if counts[name])


class TimeLeft:
    """Estimates the seconds until all trials have ended.

    The trials that run now count with the time that they have run. The estimate falls with the
    clock. It rises only by more than the length of one trial: less is noise.
    """

    def __init__(self) -> None:
        self._num_running: deque[int] = deque([1], maxlen=10)
        self._shown = float("inf")

    def update(
        self, *, waiting: int, running_s: Sequence[float], ended_s: Sequence[float]
    ) -> float | None:
        """Return seconds, or None before the first trial has ended.

        waiting: trials that no worker has begun.  running_s: how long each running one has run.
        ended_s: how long each ended one took.
        """
        self._num_running.append(len(running_s))
        if not ended_s:
            return None
        # A trial that runs longer than the mean shows that the mean is too low.
        mean = fmean(ended_s)
        typical = fmean([*ended_s, *(seconds for seconds in running_s if seconds > mean)])
        rest = [max(0.0, typical - seconds) for seconds in running_s]
        # Between two trials a worker runs none: the most of the last readings is their number.
        workers = max(self._num_running)
        estimate = max([(waiting * typical + sum(rest)) / workers, *rest])
        if not self._shown < estimate <= self._shown + typical:
            self._shown = estimate
        return self._shown


def progress_line(
    title: str,
    *,
    done: int,
    total: int,
    details: Sequence[str],
    left_s: float | None,
    width: int,
    ascii_only: bool = False,
    ahead: str = "left",
) -> str:
    """Return the line, at most ``width`` columns long.

    ahead: the words behind the time.

    Where it would be longer, the bar shrinks, then the last details go, then the title is cut.
    The count and the time left always stay.
    """
    count = f"{done}/{total}"
    left = "" if left_s is None else f"{duration(left_s)} {ahead}"
    for num_details in range(len(details), -1, -1):
        for bar_width in (20, 10, 0):
            bar = _bar(done, total, width=bar_width, ascii_only=ascii_only)
            parts = [title, bar, count, ", ".join(details[:num_details]), left]
            line = "  ".join(part for part in parts if part)
            if len(line) <= width:
                return line
    essential = "  ".join(part for part in (count, left) if part)
    room = width - len(essential) - 2
    return f"{title[: room - 1]}…  {essential}" if room > 1 else essential


def _bar(done: int, total: int, *, width: int, ascii_only: bool) -> str:
    filled = min(width, width * done // total) if total else 0
    full, empty = ("#", "-") if ascii_only else ("━", "┄")
    return full * filled + empty * (width - filled)


def duration(seconds: float) -> str:
    """Return a time as ``1 h 05 min``, ``3 min 20 s`` or ``40 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


@contextlib.contextmanager
def shown(budget: Budget, study: optuna.Study) -> Iterator[None]:
    """Show the progress inside the block: to the watcher, or as a line on a terminal.

    The budget counts the trials, so those of other processes count too.
    """
    if _watcher is not None:
        with _followed(_WatchedView(_watcher, budget, study)):
            yield
        return
    if not has_terminal():
        yield
        return
    # A stdout that goes to a file must stay there.
    live = Live(
        console=Console(stderr=True), auto_refresh=False, redirect_stdout=sys.stdout.isatty()
    )
    with live, _followed(_LineView(live, budget, study)):
        yield


@contextlib.contextmanager
def _followed(view: _LineView | _WatchedView) -> Iterator[None]:
    """Update a view every second inside the block, and once more after it."""
    over = threading.Event()
    thread = threading.Thread(target=_follow, args=(view, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _follow(view: _LineView | _WatchedView, over: threading.Event) -> None:
    last = False
    while not last:
        last = over.is_set()
        try:
            view.update()
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError):
            pass  # the next update asks the storage again
        except (BrokenPipeError, SystemExit):  # Rich answers a closed pipe with SystemExit
            if not last:
                _thread.interrupt_main()  # nobody reads: end as with Ctrl-C, which can be resumed
            return
        if not last:
            over.wait(POLL_S)


class _WatchedView:
    """Hands the state of a study to a watcher."""

    def __init__(self, watcher: Watcher, budget: Budget, study: optuna.Study) -> None:
        self.watcher, self.budget, self.study = watcher, budget, study
        self.trials: tuple[FinishedTrial, ...] = ()

    def update(self) -> None:
        counts = self.budget.count()
        if counts.total() - counts["open"] != len(self.trials):
            self.trials = finished_trials(self.study)
        running = counts["open"] - self.budget.claimable()
        self.watcher.update(self.study.study_name, self.trials, running=running)


class _LineView:
    """Draws the state of a study as a line."""

    def __init__(self, live: Live, budget: Budget, study: optuna.Study) -> None:
        self.live, self.budget, self.study = live, budget, study
        self.began = datetime.now()
        self.time_left = TimeLeft()

    def update(self) -> None:
        counts = self.budget.count()
        running = counts["open"] - self.budget.claimable()
        trials = self.study.get_trials(deepcopy=False)
        left_s = self.time_left.update(
            waiting=counts["open"] - running,
            running_s=self._running_s(trials)[-running:] if running else [],
            ended_s=[t.user_attrs[SECONDS] for t in trials if SECONDS in t.user_attrs],
        )
        console = self.live.console
        line = progress_line(
            self.study.study_name,
            done=counts.total() - counts["open"],
            total=counts.total(),
            details=list(self._details(counts, running, trials)),
            left_s=left_s if counts["open"] else None,
            width=console.width,
            ascii_only=console.options.ascii_only,
        )
        self.live.update(Text(line, no_wrap=True, overflow="crop"), refresh=True)

    def _details(
        self, counts: Mapping[str, int], running: int, trials: Sequence[FrozenTrial]
    ) -> Iterator[str]:
        """Yield the details, the most important first."""
        complete = [
            t
            for t in trials
            if t.state == TrialState.COMPLETE and not has_seed(t.params) and is_feasible(t)
        ]
        if complete and len(self.study.directions) == 1:
            choose = min if self.study.direction == StudyDirection.MINIMIZE else max
            best = choose(complete, key=lambda t: t.values[0])
            yield f"best {best.values[0]:.5g} (#{best.number})"
        if running:
            yield f"{running} running"
        yield from (f"{counts[name]} {name}" for name in reversed(OUTCOMES) if counts[name])

    def _running_s(self, trials: Sequence[FrozenTrial]) -> list[float]:
        """Return how long each unfinished trial has run since this process began, in seconds."""
        starts = [t.datetime_start for t in trials if not t.state.is_finished()]
        now = datetime.now()
        return [(now - max(start, self.began)).total_seconds() for start in starts if start]
