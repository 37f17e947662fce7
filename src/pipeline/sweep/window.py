"""A sampler that learns from a window of a study, so that its cost does not grow with the study."""

from __future__ import annotations

from bisect import insort
from collections.abc import Container, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

BEST_SHARE = 0.2  # of the window, for the best trials before the latest ones


class Windowed(optuna.samplers.BaseSampler):
    """Lets a sampler see the latest trials and the best of all before; it misses no record.

    A study of at most ``size`` trials is seen as it is.  sampler: TPE, whose time for a suggestion
    grows with the trials that it reads.  size: how many it reads at most.
    """

    def __init__(self, sampler: optuna.samplers.BaseSampler, *, size: int) -> None:
        self.sampler = sampler
        self.size = size
        self._viewed: tuple[int, _View] | None = None

    def reseed_rng(self) -> None:
        """Draw from other random numbers."""
        self.sampler.reseed_rng()

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the settings that are sampled together."""
        return self.sampler.infer_relative_search_space(self._view(study, trial), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Sample the settings that are sampled together."""
        return self.sampler.sample_relative(self._view(study, trial), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        """Sample one setting."""
        view = self._view(study, trial)
        return self.sampler.sample_independent(view, trial, name, distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Do what the sampler does before a trial."""
        self.sampler.before_trial(study, trial)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Do what the sampler does after a trial."""
        self.sampler.after_trial(study, trial, state, values)

    def _view(self, study: optuna.Study, trial: FrozenTrial) -> Any:
        """Return the study through its window, which stays the same for all settings of a trial."""
        if self._viewed is None or self._viewed[0] != trial.number:
            self._viewed = (trial.number, _View(study, self.size))
        return self._viewed[1]


class _View:
    """A study whose list of trials is a window; in everything else it is the study itself."""

    def __init__(self, study: optuna.Study, size: int) -> None:
        self._study = study
        self._size = size
        self._window: list[FrozenTrial] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    @property
    def trials(self) -> list[FrozenTrial]:
        """The trials of the window."""
        return self._get_trials(deepcopy=True)

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the trials of the window in these states."""
        return self._get_trials(deepcopy=deepcopy, states=states)

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        # Optuna's own filter would pass all trials, and a trial asks several times.
        if self._window is None:
            found = self._study._get_trials(deepcopy=False, states=None, use_cache=use_cache)
            self._window = windowed(found, size=self._size, best=best_of(self._study, self._size))
        return [t for t in self._window if states is None or t.state in states]


class Best:
    """The best completed trials of a study, by each objective; it reads every trial once.

    signs: 1 for each objective that is minimised, else -1.  count: of trials, for all objectives.
    """

    def __init__(self, *, signs: Sequence[float], count: int) -> None:
        self._signs = tuple(signs)
        self._count = max(1, count // len(signs))
        self._ranked: list[list[tuple[float, int, FrozenTrial]]] = [[] for _ in signs]
        self._num_read = 0
        self._unfinished: set[int] = set()

    def among(self, trials: Sequence[FrozenTrial], *, end: int) -> list[FrozenTrial]:
        """Return the best of the first ``end`` trials, in their order; ``end`` never falls."""
        waiting = [*self._unfinished, *range(self._num_read, end)]
        self._unfinished = {i for i in waiting if not trials[i].state.is_finished()}
        self._num_read = max(self._num_read, end)
        for index in waiting:
            if trials[index].state == TrialState.COMPLETE:
                self._rank(index, trials[index])
        kept = {index: trial for ranked in self._ranked for _, index, trial in ranked}
        return [kept[index] for index in sorted(kept)]

    def _rank(self, index: int, trial: FrozenTrial) -> None:
        for sign, value, ranked in zip(self._signs, trial.values, self._ranked, strict=True):
            insort(ranked, (sign * value, index, trial), key=lambda entry: entry[:2])
            del ranked[self._count :]


# Storage → study → what a worker knows of it: samplers are made anew for each trial.
_KNOWN: WeakKeyDictionary[Any, dict[tuple[int, int], Best]] = WeakKeyDictionary()


def best_of(study: optuna.Study, size: int) -> Best:
    """Return the best trials of a study, as this process has read it so far. size: of a window."""
    known = _KNOWN.setdefault(study._storage, {})
    key = (study._study_id, size)
    if key not in known:
        signs = [1.0 if d.name == "MINIMIZE" else -1.0 for d in study.directions]
        known[key] = Best(signs=signs, count=int(size * BEST_SHARE))
    return known[key]


def windowed(trials: Sequence[FrozenTrial], *, size: int, best: Best) -> list[FrozenTrial]:
    """Return the latest trials, and before them the best of the earlier ones, in their order.

    Of several objectives, each gives its own best trials.
    """
    if len(trials) <= size:
        return list(trials)
    end = len(trials) - (size - int(size * BEST_SHARE))
    return [*best.among(trials, end=end), *trials[end:]]
