"""The paired runs of a command and of its remedies: all of them, or until they decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.diagnosis.foreign_proof import ForeignArm
from pipeline.diagnosis.paired_trials import LEAST_SEEDS
from pipeline.errors import CommandError
from pipeline.verification.foreign.judgement import Measure, judged, still_open
from pipeline.verification.foreign.options import ForeignOptions
from pipeline.verification.foreign.plan import Setting, arms_of, as_it_is
from pipeline.verification.foreign.runs import Job
from pipeline.verification.foreign.template import Template


class Runner(Protocol):
    """Gives the number of each job: `pipeline.verification.foreign.runs.Runs`, or a simulation.

    used: keys of the runs that were asked for.
    """

    used: set[str]

    def values(self, jobs: Sequence[Job]) -> list[float]:
        """Return the numbers in the order of the jobs."""


@dataclass
class Trials:
    """The numbers of every arm so far, in the order of the seeds."""

    template: Template
    measure: Measure
    options: ForeignOptions
    runs: Runner
    values: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.base = as_it_is(self.template)
        self.arms = arms_of(self.template)

    def judged_arms(self) -> list[ForeignArm]:
        """Run the pairs, all of them or until they decide; return the arms as judged."""
        self.add(self.arms, range(LEAST_SEEDS))
        self._check_seed()
        if not self.options.early:
            self.add(self.arms, range(LEAST_SEEDS, self.options.seeds))
            return self._judged()
        while True:
            arms, seeds = self._judged(), len(self.values[self.base.name])
            names = still_open(self.measure, self.as_it_was, arms, most=self.options.seeds)
            # An arm that was left behind has no number for the last seeds, so it cannot return.
            wanted = [a for a in self.arms if a.name in names and len(self.values[a.name]) == seeds]
            if not wanted or seeds >= self.options.seeds:
                return arms
            self.add(wanted, range(seeds, seeds + 1))

    @property
    def as_it_was(self) -> list[float]:
        """The numbers of the unchanged command."""
        return self.values[self.base.name]

    def add(self, arms: Sequence[Setting], seeds: range) -> None:
        """Run the unchanged command and these arms with further seeds, pair by pair."""
        every = [self.base, *arms]
        jobs = [job_of(arm, seed) for seed in seeds for arm in every]
        for job_value, arm in zip(self.runs.values(jobs), every * len(seeds), strict=True):
            self.values.setdefault(arm.name, []).append(job_value)

    def control(self, setting: Setting, seeds: range) -> list[float]:
        """Return the numbers of a control."""
        return self.runs.values([job_of(setting, seed) for seed in seeds])

    def _judged(self) -> list[ForeignArm]:
        values = [self.values[arm.name] for arm in self.arms]
        return judged(self.measure, self.as_it_was, self.arms, values)

    def _check_seed(self) -> None:
        """Raise `CommandError` for a command that ignores its seed or a placeholder."""
        base, metric = self.as_it_was, self.options.metric
        if len(set(base)) == 1:
            raise CommandError(
                f"{metric} is {base[0]!r} for seeds 0 to {len(base) - 1}, to the last digit: the "
                "command ignores {seed}, or its number is too coarse. Without a spread over seeds "
                "nothing can be judged. Use the seed for weights and order, or take a finer metric."
            )
        for arm in self.arms:
            if self.values[arm.name] == base:
                raise CommandError(
                    f"{arm.name}: gives the numbers of the unchanged command, to the last digit, "
                    f"for seeds 0 to {len(base) - 1}. The command ignores this value, or its "
                    "number is too coarse. Take the value out of remedies, or use it."
                )


def job_of(setting: Setting, seed: int) -> Job:
    """Return the run of a setting with a seed."""
    return Job(f"{setting.name}, seed {seed}", setting.values, seed)
