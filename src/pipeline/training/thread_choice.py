"""How many threads the next training step takes: decided by how long the last ones took.

Two threads that wait for each other at every small step make a busy machine ten times slower than
one thread. On a quiet machine they may be faster. So both are tried for a few steps, and again when
steps become slow, and after a while. No step is lost: each is a step of the training.
"""

from __future__ import annotations

import statistics
from collections import deque

TRIED_STEPS = 6  # of each number of threads, twice
UNCOUNTED_STEPS = 2  # the first ones after a change
AGAIN_AFTER_S = 4.0
WATCHED_STEPS = 16
SLOWER = 1.5  # times the time at the choice: the machine has changed
HOPELESS = 3.0  # times the other's best step: the trial ends at once
BETTER = 0.95  # of the time with the present choice, or nothing changes


class ThreadChoice:
    """Chooses between one thread and all.

    most: all threads, 2 or more.  now: the number for the next step.  decided: whether a number has
    been chosen.  step_s: seconds of a step, by number of threads, when they were tried last.
    """

    def __init__(self, most: int) -> None:
        self.most = self.now = most
        self.decided = False
        self.step_s: dict[int, float] = {}
        self._chosen = most
        self._plan: list[int] = []
        self._tried: dict[int, list[float]] = {}
        self._in_block: list[float] = []
        self._recent: deque[float] = deque(maxlen=WATCHED_STEPS)
        self._since_s = 0.0
        self._try_both()

    @property
    def best(self) -> int:
        """The number that is known to be faster so far; the present one where nothing is known."""
        known = {number: statistics.median(times) for number, times in self._tried.items() if times}
        return self._chosen if self.decided or len(known) < 2 else min(known, key=known.__getitem__)

    def saw(self, seconds: float) -> None:
        """Take the time of the step that has ended; `now` is then the number for the next one."""
        if self._plan:
            self._tries(seconds)
            return
        self._recent.append(seconds)
        self._since_s += seconds
        slow = (
            len(self._recent) == WATCHED_STEPS
            and statistics.median(self._recent) > SLOWER * self.step_s[self._chosen]
        )
        if slow or self._since_s > AGAIN_AFTER_S:
            self._try_both()

    def _try_both(self) -> None:
        other = 1 if self._chosen == self.most else self.most
        self._plan = [self._chosen, other, self._chosen, other]
        self._tried = {1: [], self.most: []}
        self._begin_block()

    def _begin_block(self) -> None:
        self.now = self._plan[0]
        self._in_block = []

    def _tries(self, seconds: float) -> None:
        self._in_block.append(seconds)
        if len(self._in_block) > UNCOUNTED_STEPS:
            self._tried[self.now].append(seconds)
        if len(self._in_block) < UNCOUNTED_STEPS + TRIED_STEPS and not self._hopeless(seconds):
            return
        if not self._tried[self.now]:
            self._tried[self.now].append(seconds)
        del self._plan[0]
        if self._plan:
            self._begin_block()
        else:
            self._decide()

    def _hopeless(self, seconds: float) -> bool:
        """Whether two steps of the other number were so slow that more of them would be a loss."""
        known = self._tried[self._chosen]
        return (
            self.now != self._chosen
            and len(self._in_block) >= UNCOUNTED_STEPS
            and bool(known)
            and seconds > HOPELESS * statistics.median(known)
        )

    def _decide(self) -> None:
        self.step_s = {number: statistics.median(times) for number, times in self._tried.items()}
        other = 1 if self._chosen == self.most else self.most
        if self.step_s[other] < BETTER * self.step_s[self._chosen]:
            self._chosen = other
        self.now, self.decided = self._chosen, True
        self._recent.clear()
        self._since_s = 0.0
