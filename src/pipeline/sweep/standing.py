"""How far a sweep is, as its workers tell it: read from the database as seldom as its size demands.

Counting a study's trials and finding the best of them takes time in proportion to their number; done
after every trial, a sweep would cost the square of it. So both are read again only when twenty times
as long has passed as the last reading took, and a worker's own results are added in between.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

import optuna

from pipeline.sweep.tickets import Tickets

FAILURE, SECONDS = "failure", "seconds"  # attributes of a trial
REST = 20.0


class Standing:
    """Counts by outcome and the best trial, as one worker knows them."""

    def __init__(
        self,
        tickets: Tickets,
        *,
        directions: Sequence[str],
        n_trials: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.tickets = tickets
        self.directions = tuple(directions)
        self.n_trials = n_trials
        self.best: tuple[float, int] | None = None
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._next = float("-inf")

    def add(self, outcome: str, trial: optuna.trial.FrozenTrial) -> None:
        """Add a trial that this worker has finished."""
        self._counts[outcome] += 1
        if outcome == "complete" and len(self.directions) == 1:
            self._consider(trial)

    def line(self, study: optuna.Study, outcome: str, trial: optuna.trial.FrozenTrial) -> str:
        """One line for a trial that has ended."""
        self._refresh(study)
        done = sum(n for name, n in self._counts.items() if name != "open")
        shown = ", ".join(f"{v:.5g}" for v in trial.values or ())
        result = shown or trial.user_attrs.get(FAILURE) or f"pruned after {len(trial.intermediate_values)}"
        settings = " ".join(
            f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in trial.params.items()
        )
        best = f"  best {self.best[0]:.5g} (#{self.best[1]})" if self.best else ""
        return (
            f"[{done}/{self.n_trials}] #{trial.number} {outcome} {result}{best}"
            f"  {trial.user_attrs.get(SECONDS, 0):.1f} s  {settings}"
        )

    def _consider(self, trial: optuna.trial.FrozenTrial) -> None:
        value = trial.values[0]
        sign = 1.0 if self.directions[0] == "minimize" else -1.0
        if self.best is None or sign * value < sign * self.best[0]:
            self.best = (value, trial.number)

    def _refresh(self, study: optuna.Study) -> None:
        began = self._clock()
        if began < self._next:
            return
        self._counts = self.tickets.count()
        if len(self.directions) == 1 and self._counts["complete"]:
            self._consider(study.best_trial)
        ended = self._clock()
        self._next = ended + REST * (ended - began)
