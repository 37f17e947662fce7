"""One printed line for each trial that ends, with the progress and the best trial of the study.

Counting a study's trials and finding the best one takes time in proportion to their number. Done
after every trial, the cost of a sweep would grow with the square of its size. So a worker reads
both again only after twenty times as long as the last reading took, and adds its own results in
between.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import zip_longest

import optuna
from optuna.trial import TrialState

from pipeline.config.overrides import value_text
from pipeline.sweep.budget import Budget
from pipeline.sweep.constraints import is_feasible
from pipeline.sweep.seed_groups import has_seed
from pipeline.sweep.trial import FAILURE, SECONDS, objective_names
from pipeline.sweep.trial_seeds import over_seeds

REST = 20.0


class TrialLog:
    """The counts by outcome and the best trial, as one worker knows them.

    n_trials: the total that the lines count up to.  clock: returns seconds.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        directions: Sequence[str],
        n_trials: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.budget = budget
        self.directions = tuple(directions)
        self.n_trials = n_trials
        self.best: tuple[float, int] | None = None
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._next_reading = float("-inf")

    def add(self, outcome: str, trial: optuna.trial.FrozenTrial) -> None:
        """Count a trial that this worker has finished."""
        self._counts[outcome] += 1
        if outcome == "complete" and len(self.directions) == 1:
            self._consider(trial)

    def line(self, study: optuna.Study, outcome: str, trial: optuna.trial.FrozenTrial) -> str:
        """Return the line of a trial that has ended; cut to ``COLUMNS`` where that is set."""
        self._refresh(study)
        done = self._counts.total() - self._counts["open"]
        best = f"  best {self.best[0]:.5g} (#{self.best[1]})" if self.best else ""
        seconds = trial.user_attrs.get(SECONDS, 0)
        settings = " ".join(f"{key}={_short(value)}" for key, value in trial.params.items())
        line = (
            f"[{done}/{self.n_trials}] #{trial.number} {outcome} {_result(trial)}{best}"
            f"  {seconds:.1f} s  {settings}"
        )
        columns = os.environ.get("COLUMNS", "")
        width = int(columns) if columns.isdecimal() else 0
        return line if not 0 < width < len(line) else f"{line[: width - 1]}…"

    def _consider(self, trial: optuna.trial.FrozenTrial) -> None:
        if has_seed(trial.params) or not is_feasible(trial):
            return  # the best of several seeds is luck
        value = trial.values[0]
        sign = 1.0 if self.directions[0] == "minimize" else -1.0
        if self.best is None or sign * value < sign * self.best[0]:
            self.best = (value, trial.number)

    def _refresh(self, study: optuna.Study) -> None:
        began = self._clock()
        if began < self._next_reading:
            return
        self._counts = self.budget.count()
        if len(self.directions) == 1 and self._counts["complete"]:
            with contextlib.suppress(ValueError):  # no trial keeps the limits of the sweep yet
                self._consider(study.best_trial)
        ended = self._clock()
        self._next_reading = ended + REST * (ended - began)


def _result(trial: optuna.trial.FrozenTrial) -> str:
    """Return the values of a trial, the reason of its failure, or the epochs of a pruned one."""
    seeds = over_seeds(trial.user_attrs)
    if seeds and trial.state == TrialState.PRUNED:
        return f"after {len(seeds.seeds)} seed{'s' * (len(seeds.seeds) > 1)}"
    if trial.values:
        spread = f" ± {seeds.spread:.2g}" if seeds and seeds.spread is not None else ""
        names = objective_names(trial.user_attrs)
        named = zip_longest(names[: len(trial.values)], trial.values, fillvalue="")
        return ", ".join(f"{name} {value:.5g}".lstrip() for name, value in named) + spread
    return trial.user_attrs.get(FAILURE) or f"pruned after {len(trial.intermediate_values)}"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else value_text(value)
