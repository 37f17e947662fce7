"""The verification of a command: its remedies over paired seeds, beside two controls, judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipeline.diagnosis.foreign_proof import ACCEPT, REJECT, UNDECIDED, ForeignArm, ForeignProof
from pipeline.diagnosis.paired_trials import LEAST_SEEDS
from pipeline.errors import CommandError
from pipeline.files import write_record
from pipeline.records import Estimate
from pipeline.verification.foreign import sentence
from pipeline.verification.foreign.journal import only_one
from pipeline.verification.foreign.judgement import (
    Measure,
    best_of,
    judged,
    measure_of,
    nearest,
    still_open,
)
from pipeline.verification.foreign.options import ForeignOptions, check_metric_file
from pipeline.verification.foreign.plan import (
    RESEED_FROM,
    Setting,
    arms_of,
    as_it_is,
    can_draw,
    draws_of,
)
from pipeline.verification.foreign.process import end_orphans
from pipeline.verification.foreign.runs import Job, Runs
from pipeline.verification.foreign.template import Template

VERSION = 1


def verify_command(
    template: Template, options: ForeignOptions, *, say: Callable[[str], None] = print
) -> ForeignProof:
    """Run a command with and without each remedy, and judge the numbers that it gives.

    Writes ``results/verify_<name>/proof.json``, beside the finished runs (``runs.jsonl``) and what
    they printed (``logs/``).  say: takes the lines of the progress.
    Raises `CommandError` where a run fails or gives no number, and `ConfigError`.
    """
    check_metric_file(options, template)
    with only_one(options.results):
        end_orphans(options.results / "logs")
        trials = _Trials(template, measure_of(options), options, Runs(template, options, say=say))
        arms = trials.judged_arms()
        proof = _concluded(trials, arms)
        write_record(options.results / "proof.json", proof)
    return proof


@dataclass
class _Trials:
    """The numbers of every arm so far, in the order of the seeds."""

    template: Template
    measure: Measure
    options: ForeignOptions
    runs: Runs
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
        jobs = [_job(arm, seed) for seed in seeds for arm in every]
        for job_value, arm in zip(self.runs.values(jobs), every * len(seeds), strict=True):
            self.values.setdefault(arm.name, []).append(job_value)

    def control(self, setting: Setting, seeds: range) -> list[float]:
        """Return the numbers of a control."""
        return self.runs.values([_job(setting, seed) for seed in seeds])

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
                    f"for seeds 0 to {len(base) - 1}. The command ignores this value. Take it out "
                    "of remedies, or use it in the command."
                )


def _job(setting: Setting, seed: int) -> Job:
    return Job(f"{setting.name}, seed {seed}", setting.values, seed)


def _concluded(trials: _Trials, arms: Sequence[ForeignArm]) -> ForeignProof:
    options = trials.options
    ordered = sorted(arms, key=lambda arm: -arm.improvement.value)
    best, near = best_of(ordered), nearest(ordered)
    reseed, random, notes = _controls(trials, ordered, best)
    if best is not None and reseed is not None:
        decision, text = ACCEPT, sentence.accepted(options, best, reseed, random)
    elif near is not None:
        decision, text = UNDECIDED, sentence.undecided(options, near)
    else:
        decision, text = REJECT, sentence.rejected(options, ordered)
    return ForeignProof(
        version=VERSION,
        name=options.name,
        command=options.command,
        metric=options.metric,
        goal=options.goal,
        scale=options.scale,
        stop=options.stop,
        decision=decision,
        sentence=text,
        accepted=best.name if best else None,
        needs_seeds=near.seeds_needed if near and not best else None,
        seeds=len(trials.as_it_was),
        runs=len(trials.runs.used),
        settings=trials.base.values,
        as_it_is=tuple(trials.as_it_was),
        arms=tuple(ordered),
        reseed=reseed,
        random=random,
        notes=notes,
    )


def _controls(
    trials: _Trials, arms: Sequence[ForeignArm], best: ForeignArm | None
) -> tuple[Estimate | None, Estimate | None, tuple[str, ...]]:
    """Run the controls over as many pairs as the best arm; return what they change, and notes."""
    if trials.options.early and best is None:
        return None, None, ("The controls were not run, since no remedy is confirmed.",)
    pairs = len(best.values) if best else trials.options.seeds
    base, measure = trials.as_it_was, trials.measure
    reseeds = range(RESEED_FROM, RESEED_FROM + pairs)
    again = Setting("control: reseeded", trials.base.values)
    reseed = measure.improvement(base, trials.control(again, reseeds))
    if not can_draw(trials.template):
        return reseed, None, ("Random search would only repeat the words that were given.",)
    return reseed, _random_search(trials, arms, pairs), ()


def _random_search(trials: _Trials, arms: Sequence[ForeignArm], pairs: int) -> Estimate:
    """Return what the luckiest of several draws gains; it costs as much as all arms together."""
    count = max(2, sum(len(arm.values) for arm in arms) - pairs)
    draws = draws_of(trials.template, count=count)
    first = trials.runs.values([_job(draw, 0) for draw in draws])
    luckiest = (min if trials.options.goal == "min" else max)(range(count), key=first.__getitem__)
    chosen = Setting("control: random search", draws[luckiest].values)
    values = trials.control(chosen, range(pairs))
    return trials.measure.improvement(trials.as_it_was, values)
