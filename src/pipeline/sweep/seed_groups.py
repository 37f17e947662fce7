"""Trials that differ in nothing but their seed, as one group with a mean and a spread.

The best of several seeds is luck. So a study with seeds is ranked by groups, and never by trials.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from pipeline.config.overrides import value_text

SEED = "seed"


@dataclass(frozen=True)
class SeedGroup:
    """Completed trials with the same settings.

    params: without the seed.  trials: by number, at least one; each has ``number``, ``params`` and
    ``values``, as those of Optuna and our own records have.  lost_a_seed: whether a trial of these
    settings failed or was pruned: it may have been the worst.
    """

    params: dict[str, Any]
    trials: tuple[Any, ...]
    lost_a_seed: bool = False

    @property
    def values(self) -> tuple[float, ...]:
        """The first objective of each trial."""
        return tuple(float(trial.values[0]) for trial in self.trials)

    @property
    def mean(self) -> float:
        """The mean of the first objective over the seeds."""
        return fmean(self.values)

    @property
    def means(self) -> tuple[float, ...]:
        """The mean of each objective over the seeds."""
        return tuple(map(fmean, zip(*(trial.values for trial in self.trials), strict=True)))

    @property
    def spread(self) -> float | None:
        """The standard deviation over the seeds (n - 1); None for one seed."""
        return stdev(self.values) if len(self.trials) > 1 else None

    @property
    def feasible(self) -> bool:
        """Whether every trial keeps the limits of the sweep."""
        return all(map(_is_feasible, self.trials))

    @property
    def in_words(self) -> str:
        """The mean with its spread: ``0.1234 ± 0.0056 over 3 seeds``."""
        if self.spread is None:
            return f"{self.mean:.6g} with one seed"
        return f"{self.mean:.6g} ± {self.spread:.2g} over {len(self.trials)} seeds"


def is_seed(key: str) -> bool:
    """Whether a swept key is a seed: its last name is ``seed``."""
    return key.lstrip("+").rpartition(".")[2] == SEED


def has_seed(keys: Iterable[str]) -> bool:
    """Whether one of the swept keys is a seed."""
    return any(map(is_seed, keys))


def seed_groups(trials: Iterable[Any], *, direction: str) -> list[SeedGroup]:
    """Return the completed trials as groups of equal settings, the best mean first.

    trials: of any state.  direction: minimize or maximize.  A group that lost a seed comes after
    the others. Last come those that exceed a limit of the sweep with one of their seeds.
    """
    members: dict[str, list[Any]] = {}
    for trial in sorted(trials, key=lambda trial: int(trial.number)):
        members.setdefault(str(sorted(_without_seed(trial.params).items())), []).append(trial)
    sign = 1 if direction == "minimize" else -1
    ranked = []
    for same in members.values():
        complete = tuple(trial for trial in same if _state(trial) == "complete")
        if complete:
            lost = any(_state(trial) in ("fail", "failed", "pruned") for trial in same)
            group = SeedGroup(_without_seed(complete[0].params), complete, lost)
            order = (not group.feasible, lost, sign * group.mean, complete[0].number)
            ranked.append((order, group))
    return [group for _, group in sorted(ranked, key=lambda entry: entry[0])]


def study_groups(study: Any) -> list[SeedGroup]:
    """Return the groups of an Optuna study; empty without a seed, or with several objectives."""
    trials = study.get_trials(deepcopy=False)
    if len(study.directions) > 1 or not any(has_seed(trial.params) for trial in trials):
        return []
    return seed_groups(trials, direction=study.directions[0].name.lower())


def study_front(study: Any) -> list[SeedGroup]:
    """Return the groups whose means no other group beats in every objective.

    Empty without a seed, and for a single objective. A group that exceeds a limit is not in it, nor
    one that lost a seed, unless all have.
    """
    trials = study.get_trials(deepcopy=False)
    names = [direction.name.lower() for direction in study.directions]
    if len(names) < 2 or not any(has_seed(trial.params) for trial in trials):
        return []
    signs = [1 if name == "minimize" else -1 for name in names]
    feasible = [group for group in seed_groups(trials, direction=names[0]) if group.feasible]
    groups = [group for group in feasible if not group.lost_a_seed] or feasible
    costs = [[s * m for s, m in zip(signs, g.means, strict=True)] for g in groups]
    return [
        group
        for group, own in zip(groups, costs, strict=True)
        if not any(
            other != own and all(o <= mine for o, mine in zip(other, own, strict=True))
            for other in costs
        )
    ]


def summary(groups: Sequence[SeedGroup]) -> str:
    """Return the end of a study with seeds in one line: its best group, or its only one."""
    best = groups[0]
    if len(groups) == 1 and not best.params:
        return f"mean {best.in_words}"
    settings = " ".join(f"{key}={value_text(value)}" for key, value in best.params.items())
    return f"best mean: {best.in_words}: {settings}"


def _state(trial: Any) -> str:
    return str(getattr(trial.state, "name", trial.state)).lower()


def _is_feasible(trial: Any) -> bool:
    if hasattr(trial, "feasible"):
        return bool(trial.feasible)
    return all(excess <= 0 for excess in getattr(trial, "constraints", {}).values())


def _without_seed(params: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in params.items() if not is_seed(key)}
