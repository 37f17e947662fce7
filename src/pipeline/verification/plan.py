"""The plan of a verification: its remedies, its seeds, and the number of runs that they cost."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.config import nearest
from pipeline.diagnosis.faults import remedies_by_name
from pipeline.diagnosis.paired_trials import LEAST_SEEDS
from pipeline.diagnosis.record import Remedy
from pipeline.diagnosis.remedies import CHECKS, to_prove
from pipeline.errors import ConfigError
from pipeline.verification.patient import Patient
from pipeline.verification.random_search import random_draws

MOST_ARMS = 4
LEAST_DRAWS = 2  # of random search
_RESEED_OFFSET = 1000


@dataclass(frozen=True)
class VerificationOptions:
    """The wishes of a person.

    storage: URL of the studies.  seeds: how many, of every arm.
    remedies: names; empty for those that the diagnosis offers.
    budget: runs in all; None for as many as four arms need.
    sweep: overrides of the sweeps themselves (``n_jobs=2``, ``hydra/launcher=slurm``).
    stop: fixed trains all seeds of every arm; early adds pairs until they decide, seeds at most.
    """

    storage: str
    seeds: int
    remedies: tuple[str, ...] = ()
    budget: int | None = None
    sweep: tuple[str, ...] = ()
    stop: str = "fixed"

    @property
    def early(self) -> bool:
        """Whether pairs are added until they decide."""
        return self.stop == "early"

    @property
    def num_jobs(self) -> int | None:
        """How many runs are trained side by side on this machine; None where others train them."""
        given = dict(o.split("=", 1) for o in self.sweep if "=" in o)
        if given.get("hydra/launcher", "joblib") not in ("basic", "joblib"):
            return None
        jobs = given.get("n_jobs", given.get("hydra.sweeper.n_jobs", "1"))
        return int(jobs) if jobs.isdecimal() else os.cpu_count()


@dataclass(frozen=True)
class VerificationPlan:
    """The runs of a verification, before any of them is trained.

    draws: settings of the random search.  seeds: of every arm.  reseeds: of the control that
    changes nothing but the seed.
    """

    remedies: tuple[Remedy, ...]
    draws: tuple[Remedy, ...]
    seeds: tuple[int, ...]
    reseeds: tuple[int, ...]

    @property
    def num_runs(self) -> int:
        """How many runs it trains."""
        return num_runs(len(self.remedies), len(self.seeds))

    @property
    def cost(self) -> float:
        """How many plain runs take as long, see `Remedy.cost`."""
        longer = sum(remedy.cost - 1 for remedy in self.remedies)
        return self.num_runs + longer * len(self.seeds)


def plan_of(patient: Patient, options: VerificationOptions) -> VerificationPlan | None:
    """Return the plan of a verification; None where the diagnosis offers no remedy.

    Raises `ConfigError` for too few seeds or runs, and for remedies that are unknown, in force
    already, or without effect.
    """
    offered = remedies_to_try(patient, options)
    if not offered:
        return None
    count = num_draws(len(offered), options.seeds)
    return VerificationPlan(
        remedies=tuple(offered),
        draws=tuple(random_draws(patient.settings, count=count, seed=patient.seed)),
        seeds=tuple(patient.seed + i for i in range(options.seeds)),
        reseeds=tuple(patient.seed + _RESEED_OFFSET + i for i in range(options.seeds)),
    )


def num_runs(num_arms: int, num_seeds: int) -> int:
    """Return how many runs a verification trains.

    They are the base, the arms, the reseed, the random draws, and the best draw over the other
    seeds: its first run is the draw itself.
    """
    return (num_arms + 1) * num_seeds + control_runs(num_seeds, num_draws(num_arms, num_seeds))


def num_draws(num_arms: int, num_seeds: int) -> int:
    """Return how many draws make random search as expensive as the arms."""
    return max(LEAST_DRAWS, (num_arms - 1) * num_seeds)


def remedies_to_try(patient: Patient, options: VerificationOptions) -> list[Remedy]:
    """Return the remedies that were named, else the diagnosis's first ones and a combination.

    Raises `ConfigError` as `plan_of` does.
    """
    most = _affordable_arms(options)
    if options.remedies:
        return _named_remedies(options.remedies, patient, most=most)

    offered = to_prove(patient.diagnosis.offered)
    if len(offered) > 1 and most >= 3:
        return [*offered[: most - 1], *combinations(offered)][:most]
    return offered[:most]


def combinations(offered: Sequence[Remedy]) -> list[Remedy]:
    """Return the first remedy together with the second or third; empty where they overlap.

    Two remedies overlap if both set values of the same group.
    """
    first = offered[0]
    for other in offered[1:3]:
        if not _groups(first) & _groups(other):
            name = f"{first.name}+{other.name}"
            overrides = (*first.overrides, *other.overrides)
            return [Remedy(name, overrides, "both together", cost=first.cost * other.cost)]
    return []


def _groups(remedy: Remedy) -> set[str]:
    return {override.partition("=")[0].split(".")[0] for override in remedy.overrides}


def least_runs(options: VerificationOptions) -> int:
    """Return the fewest runs with which one remedy can be decided."""
    return num_runs(1, LEAST_SEEDS if options.early else options.seeds)


def control_runs(pairs: int, draws: int) -> int:
    """Return the runs of both controls: the best draw has its first seed already."""
    return pairs + draws + pairs - 1


def _affordable_arms(options: VerificationOptions) -> int:
    if options.seeds < LEAST_SEEDS:
        raise ConfigError(
            f"seeds={options.seeds}: must be {LEAST_SEEDS} or more. One pair of runs says nothing "
            "about the next pair; 5 is usual."
        )
    if options.budget is None:
        return MOST_ARMS
    if options.early and options.budget >= least_runs(options):
        return MOST_ARMS  # a remedy begins only where the budget still holds it
    affordable = [
        k for k in range(1, MOST_ARMS + 1) if num_runs(k, options.seeds) <= options.budget
    ]
    if options.early or not affordable:
        raise ConfigError(
            f"budget={options.budget}: cannot decide anything. One remedy with both controls needs "
            f"{least_runs(options)} runs with seeds={options.seeds}."
        )
    return affordable[-1]


def known_remedies(patient: Patient) -> dict[str, Remedy]:
    """Return every remedy that has an effect, by its name.

    Those that the diagnosis offers come first: the evidence gives them other strengths, and so
    other names, such as ``learning_rate*300``.
    """
    found = patient.diagnosis
    offered = [*found.remedies, *(r for finding in found.findings for r in finding.remedies)]
    by_name = {r.name: r for r in reversed(offered) if r.name not in CHECKS}
    return {**remedies_by_name(patient.settings), **by_name}


def _named_remedies(names: Sequence[str], patient: Patient, *, most: int) -> list[Remedy]:
    known = known_remedies(patient)
    listed = f"remedies=[{','.join(names)}]"
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{listed}: name {name} once; its runs would be the same.")
        if name not in known:
            raise ConfigError(
                f"remedies={name}: is unknown, in force already, or without effect in this "
                f"configuration{nearest(name, list(known))}"
            )
    if len(names) > most:
        raise ConfigError(
            f"{listed}: are {len(names)}; budget or habit allows {most}. "
            "Name fewer, or raise budget."
        )
    return [known[name] for name in names]
