"""The plan of a sweep: its options checked, and all that a worker needs to know in one record."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config.overrides import value_text
from pipeline.errors import SpaceError
from pipeline.passwords import hide
from pipeline.sweep import progress
from pipeline.sweep.constraints import checked_constraints
from pipeline.sweep.samplers import MULTI_OBJECTIVE_SAMPLERS, build_pruner, build_sampler
from pipeline.sweep.seed_groups import is_seed
from pipeline.sweep.space import Space
from pipeline.sweep.storage import absolute_url
from pipeline.sweep.study import study_name_for


@dataclass(frozen=True)
class WorkerPlan:
    """All that a worker needs to know; can be pickled.

    n_trials: the total budget.  enumerate_all: every point once, in order, without a sampler.
    max_failures: more failed trials than this end the sweep.  max_attempts: how often a trial is
    begun whose worker is killed.  lease: seconds that a claim holds without being renewed.
    num_threads: of each worker; None leaves it to the libraries.  gpus: how many cards this machine
    shares out.  print_trials: print a line for each trial that ends.  launcher: the id of the
    process that made this plan.  seeds_per_trial: runs of each trial, whose value is their mean.
    listener: dotted name of a `pipeline.sweep.listener.Listener`.  constraints: metric → its
    largest allowed value.
    """

    storage: str
    study_name: str
    space: Space
    directions: tuple[str, ...]
    n_trials: int
    enumerate_all: bool
    sampler: Mapping[str, Any]
    pruner: Mapping[str, Any]
    max_failures: float
    max_attempts: int
    lease: float
    custom_search_space: tuple[str, ...] = ()
    num_threads: int | None = None
    gpus: int = 0
    print_trials: bool = True
    launcher: int = 0
    seeds_per_trial: int = 1
    listener: str | None = None
    constraints: Mapping[str, float] = field(default_factory=dict)

    @property
    def signature(self) -> dict[str, Any]:
        """JSON values that tell whether two plans search the same space."""
        return _signature(self.space, self.custom_search_space, self.seeds_per_trial)


def make_plan(options: Mapping[str, Any], space: Space, *, launcher: Any) -> WorkerPlan:
    """Return the plan of a sweep.

    options: ``hydra.sweeper`` as plain values.  launcher: the configuration ``hydra.launcher``.
    Raises `SpaceError` for an option that is out of range, or that does not fit the others.
    """
    directions = _directions(options["direction"])
    custom = _listed(options["custom_search_space"])
    if not space.parameters and not custom:
        raise SpaceError(
            "-m: no override holds several values, so there is nothing to sweep. Give one, "
            "for example optimizer.learning_rate=tag(log,interval(1e-4,1e-1)), or leave -m out."
        )
    n_trials, enumerate_all = _budget(options, space, custom)
    _check_ranges(options)
    _check_seeds(options["seeds_per_trial"], space)
    constraints = checked_constraints(options["constraints"])
    workers = num_workers(options, launcher)
    several_here = workers > 1 and not on_cluster(launcher)
    signature = _signature(space, custom, options["seeds_per_trial"])
    name = options["study_name"]
    return WorkerPlan(
        storage=hide(absolute_url(options["storage"])),
        study_name=name or study_name_for(signature, directions, options["study_prefix"]),
        space=space,
        directions=tuple(directions),
        n_trials=n_trials,
        enumerate_all=enumerate_all,
        sampler=_sampler(options["sampler"], len(directions), constraints),
        pruner=_pruner(options["pruner"], off=enumerate_all or len(directions) > 1),
        max_failures=options["max_failure_rate"] * n_trials,
        max_attempts=options["max_attempts"],
        lease=float(options["lease"]),
        custom_search_space=custom,
        num_threads=max(1, _num_cores() // workers) if several_here else None,
        gpus=len(list(Path("/dev").glob("nvidia[0-9]*"))) if workers > 1 else 0,
        print_trials=not (progress.has_terminal() or progress.watched()),
        launcher=os.getpid(),
        seeds_per_trial=options["seeds_per_trial"],
        listener=options["listener"],
        constraints=constraints,
    )


def _signature(space: Space, custom: Sequence[str], num_seeds: int) -> dict[str, Any]:
    # Studies of one seed a trial keep the signature that they have always had.
    seeds = {"seeds_per_trial": num_seeds} if num_seeds > 1 else {}
    return {**space.signature(), "custom": list(custom), **seeds}


def num_workers(options: Mapping[str, Any], launcher: Any) -> int:
    """Return how many workers the launcher can run side by side."""
    target = str(launcher._target_)
    if target.startswith("hydra._internal"):
        return 1  # one after the other: the first would leave nothing to the second
    wanted = options["n_jobs"]
    if wanted is None and "joblib" in target:
        wanted = launcher.get("n_jobs", -1)
    if wanted is None:
        raise SpaceError("n_jobs: this launcher has no number of workers. Set n_jobs=<number>.")
    return wanted if wanted > 0 else _num_cores()


def on_cluster(launcher: Any) -> bool:
    """Return whether the launcher hands its jobs to a scheduler."""
    return "submitit" in str(launcher._target_)


def _num_cores() -> int:
    return os.cpu_count() or 1


def _listed(names: Any) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())


def _directions(given: Any) -> list[str]:
    directions = [str(d).lower() for d in (given if isinstance(given, list) else [given])]
    wrong = [d for d in directions if d not in ("minimize", "maximize")]
    if wrong or not directions:
        raise SpaceError(
            f"hydra.sweeper.direction={value_text(given)}: must be minimize or maximize, or a list."
        )
    return directions


def _budget(options: Mapping[str, Any], space: Space, custom: Sequence[str]) -> tuple[int, bool]:
    """Return the number of trials, and whether they are simply all combinations."""
    wanted = options["n_trials"]
    size = None if custom else space.size
    grid = options["sampler"].get("name") == "grid"
    if wanted is not None and wanted < 1:
        raise SpaceError(f"n_trials={wanted}: must be at least 1.")
    if wanted is not None and not grid:
        return wanted, False
    if size is not None:
        return min(wanted or size, size), True

    continuous = [p.key for p in space.parameters if p.values is None]
    key = continuous[0] if continuous else "custom_search_space"
    way_out = "The sampler grid takes listed values only." if grid else "Say how many: n_trials=50"
    raise SpaceError(f"{key}: is continuous, so its combinations have no end. {way_out}")


def _check_ranges(options: Mapping[str, Any]) -> None:
    for key in ("max_attempts", "lease"):
        if options[key] <= 0:
            raise SpaceError(f"hydra.sweeper.{key}={options[key]}: must be above 0.")
    rate = options["max_failure_rate"]
    if not 0 <= rate <= 1:
        raise SpaceError(f"hydra.sweeper.max_failure_rate={rate}: must be 0 … 1.")


def _check_seeds(num_seeds: int, space: Space) -> None:
    if num_seeds < 1:
        raise SpaceError(f"seeds_per_trial={num_seeds}: must be at least 1.")
    swept = [p.key for p in space.parameters if is_seed(p.key)]
    if num_seeds > 1 and swept:
        raise SpaceError(
            f"{swept[0]}: is swept, and seeds_per_trial={num_seeds} gives every trial its seeds. "
            "Leave one of the two out."
        )


def _sampler(
    given: Mapping[str, Any], num_directions: int, constraints: Mapping[str, float]
) -> dict[str, Any]:
    """Return the sampler's options without the unset ones; try them here, before a worker does."""
    sampler = {key: value for key, value in given.items() if value is not None}
    build_sampler(sampler, number=0, constraints=constraints)
    if num_directions > 1 and sampler["name"] not in MULTI_OBJECTIVE_SAMPLERS:
        raise SpaceError(
            f"hydra/sweeper/sampler={sampler['name']}: cannot serve {num_directions} objectives. "
            f"Use one of {', '.join(MULTI_OBJECTIVE_SAMPLERS)}."
        )
    return sampler


def _pruner(given: Mapping[str, Any], *, off: bool) -> dict[str, Any]:
    """Return the pruner's options, tried here; where all values are listed, every trial ends."""
    pruner = {key: value for key, value in given.items() if value is not None}
    pruner = {"name": "none"} if off else pruner
    build_pruner(pruner)
    return pruner
