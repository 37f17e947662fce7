"""The progress of a verification or a healing: one total over all its runs.

On a terminal it is one line that stays in place. Elsewhere each run that ends prints a line.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from statistics import median
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from pipeline.reporting.console import console
from pipeline.reporting.verification_text import step_line
from pipeline.sweep.analysis import FinishedTrial
from pipeline.sweep.progress import duration, has_terminal, progress_line

LabelOf = Callable[[FinishedTrial], str]
RunKey = tuple[str, int]  # content of the arm, seed
CostOf = Callable[[FinishedTrial], float]


@dataclass
class Workload:
    """How much is done and left. A run's cost is how many times as long as a plain run it takes.

    parallel: the most runs that were seen side by side, or that were asked for.
    typical_s: what the run to mend took, where that is known; it counts as one more run.
    """

    clock: Callable[[], float] = time.monotonic
    total_runs: int = 0
    total_cost: float = 0.0
    done_runs: int = 0
    done_cost: float = 0.0
    parallel: int = 1
    typical_s: float | None = None
    _plain_s: list[float] = field(default_factory=list)
    _deadline: float | None = None

    def expect(self, *, runs: int, cost: float) -> None:
        """Add runs that are to come."""
        self.total_runs += runs
        self.total_cost += cost
        self._plan()

    def ended(self, *, cost: float, seconds: float | None) -> None:
        """Count a run that ended. seconds: that it took, where known."""
        self.done_runs += 1
        self.done_cost += cost
        if seconds is not None:
            self._plain_s.append(seconds / cost)
        self._plan()

    def seconds_left(self) -> float | None:
        """Return the time until all runs are done; None before the first one, without `typical_s`.

        It is estimated anew when a run ends, and falls with the clock in between.
        """
        return None if self._deadline is None else max(0.0, self._deadline - self.clock())

    def next_step(self) -> None:
        """Forget the runs so far, but not how long they took."""
        self.total_runs = self.done_runs = 0
        self.total_cost = self.done_cost = 0.0

    def _plan(self) -> None:
        known = self._plain_s if self.typical_s is None else [self.typical_s, *self._plain_s]
        if known:
            left = max(0.0, self.total_cost - self.done_cost)
            # The first run of a process loads the libraries, so a mean would be too high.
            self._deadline = self.clock() + left * median(known) / self.parallel


class RunProgress:
    """Follows all sweeps of a verification, see `pipeline.sweep.progress.Watcher`.

    ahead: the words behind the time of the runs that are known so far.
    """

    def __init__(self, title: str) -> None:
        self.work = Workload()
        self.ahead = "left"
        self._title = title
        self._last = ""
        self._seen: dict[str, set[int]] = {}
        self._label_of: dict[str, LabelOf] = {}
        self._cost_of: dict[str, CostOf] = {}
        self._known: set[RunKey] = set()
        self._doing, self._most_after = "", 0
        self._live = _live_line() if has_terminal() else None

    def __enter__(self) -> RunProgress:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def expect(self, *, runs: int, cost: float) -> None:
        """Add the runs of a verification. cost: in plain runs."""
        self.work.expect(runs=runs, cost=cost)

    def next_step(self, doing: str, most_after: int) -> None:
        """Prepare a step that has a total of its own. most_after: runs that may follow it."""
        self._doing, self._most_after = doing, most_after
        self.work.next_step()

    def say_step(self, known: int) -> None:
        """Print the step, its runs, and its time. known: runs of it that are finished already."""
        print(
            step_line(
                self._doing,
                runs=self.work.total_runs,
                known=known,
                left_s=self._left_s(),
                most_after=self._most_after,
            ),
            flush=True,
        )

    def say(self, text: str) -> None:
        """Print a line, above the one that stays in place."""
        print(text, flush=True)

    def known(self, key: RunKey, *, cost: float, seconds: float | None) -> None:
        """Count a run that an earlier call has finished, once. seconds: that it took then."""
        if key not in self._known:
            self._known.add(key)
            self.work.ended(cost=cost, seconds=seconds)

    def follow(
        self, study: str, *, label_of: LabelOf, cost_of: CostOf, seen: Collection[int] = ()
    ) -> None:
        """Prepare for the trials of a study.

        label_of: names arm and seed of a trial.  cost_of: gives its cost in plain runs.
        seen: trials that are counted already.
        """
        self._label_of[study], self._cost_of[study] = label_of, cost_of
        self._seen.setdefault(study, set()).update(seen)

    def update(self, study_name: str, trials: Sequence[FinishedTrial], *, running: int) -> None:
        """Count the trials that ended since the last call, and show them."""
        self.work.parallel = max(self.work.parallel, running)
        seen = self._seen[study_name]
        new = [trial for trial in trials if trial.number not in seen]
        for trial in new:
            seen.add(trial.number)
            self.work.ended(cost=self._cost_of[study_name](trial), seconds=trial.seconds)
            self._show(f"{self._label_of[study_name](trial)}: {_result(trial)}")
        self._draw()

    def _show(self, event: str) -> None:
        self._last = event
        if self._live is None:
            left_s = self._left_s()
            left = "" if left_s is None else f"; {duration(left_s)} {self.ahead}"
            line = f"[{self.work.done_runs}/{self.work.total_runs}] {event}{left}"
            console().print(line)
            sys.stdout.flush()

    def line(self, *, width: int, ascii_only: bool = False) -> str:
        """Return total and time left in one line of at most ``width`` columns."""
        return progress_line(
            self._title,
            done=self.work.done_runs,
            total=self.work.total_runs,
            details=[self._last] if self._last else [],
            left_s=self._left_s(),
            width=width,
            ascii_only=ascii_only,
            ahead=self.ahead,
        )

    def _draw(self) -> None:
        if self._live is not None:
            console = self._live.console
            line = self.line(width=console.width, ascii_only=console.options.ascii_only)
            self._live.update(Text(line, no_wrap=True, overflow="crop"), refresh=True)

    def _left_s(self) -> float | None:
        """Return the seconds left; None where they are unknown, or where nothing is left."""
        done = self.work.done_runs >= self.work.total_runs
        return None if done else self.work.seconds_left()


def _live_line() -> Live:
    # A stdout that goes to a file must stay there.
    stderr, to_terminal = Console(stderr=True), sys.stdout.isatty()
    return Live(console=stderr, auto_refresh=False, redirect_stdout=to_terminal)


def _result(trial: FinishedTrial) -> str:
    if trial.state != "complete":
        return "diverged"
    return f"validation loss {trial.values[0]:.4f}"
