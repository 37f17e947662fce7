"""The runs of one trial with several seeds, one after the other, by a worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev
from typing import Any

import optuna
from optuna.trial import TrialState

from pipeline.sweep.lease import Lease
from pipeline.sweep.listener import Listener
from pipeline.sweep.outcome import Result
from pipeline.sweep.trial import RUN_ID, RunningTrial
from pipeline.sweep.trial_seeds import (
    OverSeeds,
    SeedResult,
    ended_seeds,
    is_poor,
    metrics_over,
    over_seeds,
    summarized,
)

_STATUS = {
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAIL: "FAILED",
}


@dataclass
class _Notebook:
    """A trial as the task of one seed sees it: its notes are kept apart from the other seeds'."""

    trial: optuna.Trial
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def number(self) -> int:
        return self.trial.number

    def report(self, value: float, step: int) -> None:
        self.trial.report(value, step)

    def should_prune(self) -> bool:
        return self.trial.should_prune()

    def set_user_attr(self, key: str, value: Any) -> None:
        self.notes[key] = value


class SeedRuns:
    """Runs a trial with its seeds; those that ended before the worker was killed count.

    current: the trial, which has no seed yet.  attributes: what the trial has kept so far.
    """

    def __init__(
        self,
        study: optuna.Study,
        current: RunningTrial,
        attributes: Mapping[str, Any],
        *,
        listener: Listener | None,
    ) -> None:
        self.study = study
        self.current = current
        self.listener = listener
        self.ended = ended_seeds(attributes)

    def run(
        self, seeds: range, run_seed: Callable[[RunningTrial], Result], *, lease: Lease
    ) -> Result:
        """Run the seeds that are left. run_seed: runs the task for the seed of a trial."""
        key = self.listener.trial_opened(self.current) if self.listener else None
        if key is not None:
            self.current.note(RUN_ID, key)
        status: str | None = None
        numbers: dict[str, float] = {}
        try:
            result = self._result(seeds, run_seed, lease=lease)
            if not lease.lost:  # else the worker that holds the trial now sums it up
                status, numbers = _STATUS[result.state], self._summed_up()
        finally:
            if self.listener:
                self.listener.trial_closed(status=status, numbers=numbers)
        return result

    def _summed_up(self) -> dict[str, float]:
        """Note means and spreads of the ended seeds; return them as metrics."""
        ended = list(self.ended.values())
        if not ended:
            return {}
        for name, value in summarized(ended).items():
            self.current.note(name, value)
        return _numbers(ended)

    def _result(
        self, seeds: range, run_seed: Callable[[RunningTrial], Result], *, lease: Lease
    ) -> Result:
        trial = self.current.trial
        assert isinstance(trial, optuna.Trial)
        for index, seed in enumerate(seeds):
            if seed not in self.ended:
                began, notebook = time.perf_counter(), _Notebook(trial)
                # Epochs are compared with those of the same seed: only the first one reports.
                prunes = self.current.prunes and index == 0
                one = replace(self.current, trial=notebook, seed=seed, prunes=prunes)
                lease.trial = one
                result = run_seed(one)
                if not lease.holds():
                    return result
                if result.pruned:
                    self._keep_notes(notebook)
                    return result
                if result.failure:
                    return replace(result, failure=f"seed {seed}: {result.failure}")
                seconds = round(time.perf_counter() - began, 2)
                self.ended[seed] = SeedResult(seed, result.values, notebook.notes, seconds)
                self.current.note(*self.ended[seed].attribute)
            if self.current.prunes and index + 1 < len(seeds) and self._is_poor():
                return Result(pruned=True)
        columns = zip(*(each.values for each in self.ended.values()), strict=True)
        return Result(tuple(map(fmean, columns)))

    def _keep_notes(self, notebook: _Notebook) -> None:
        """Let a trial that was pruned within its first seed keep what that seed noted."""
        if not self.ended:
            for key, value in notebook.notes.items():
                if key != RUN_ID:
                    self.current.note(key, value)

    def _is_poor(self) -> bool:
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        peers = [found for t in complete if (found := over_seeds(t.user_attrs))]
        own = {seed: each.values[0] for seed, each in self.ended.items()}
        return is_poor(own, peers, direction=self.study.direction.name.lower())


def _numbers(ended: list[SeedResult]) -> dict[str, float]:
    """Return means and spreads over the seeds, by the names of a group of seeds in MLflow."""
    first = OverSeeds(tuple(e.seed for e in ended), tuple(e.values[0] for e in ended))
    numbers = {"num_seeds": float(len(ended)), "mean/objective": first.mean}
    numbers |= {f"mean/{name}": v for name, v in metrics_over(ended, fmean).items()}
    if first.spread is not None:
        numbers["sd/objective"] = first.spread
        numbers |= {f"sd/{name}": v for name, v in metrics_over(ended, stdev).items()}
    return numbers
