"""The verification of a command: its remedies over paired seeds, beside two controls, judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.diagnosis.foreign_proof import ACCEPT, REJECT, UNDECIDED, ForeignArm, ForeignProof
from pipeline.disk import LARGEST_RESULT, RESULTS, check_disk
from pipeline.files import write_record
from pipeline.records import Estimate
from pipeline.verification.foreign import sentence
from pipeline.verification.foreign.journal import only_one
from pipeline.verification.foreign.judgement import best_of, measure_of, nearest
from pipeline.verification.foreign.options import ForeignOptions, check_metric_file
from pipeline.verification.foreign.plan import (
    RESEED_FROM,
    Setting,
    can_draw,
    draws_of,
)
from pipeline.verification.foreign.process import end_orphans
from pipeline.verification.foreign.runs import Runs
from pipeline.verification.foreign.template import Template
from pipeline.verification.foreign.trials import Trials, job_of

VERSION = 1


def verify_command(
    template: Template, options: ForeignOptions, *, say: Callable[[str], None] = print
) -> ForeignProof:
    """Run a command with and without each remedy, and judge the numbers that it gives.

    Writes ``results/verify_<name>/proof.json``, beside the finished runs (``runs.jsonl``) and what
    they printed (``logs/``).  say: takes the lines of the progress.
    Raises `CommandError` where a run fails or gives no number, `ConfigError`, and the errors of
    `check_disk` before the first run.
    """
    check_metric_file(options, template)
    check_disk({options.results: RESULTS}, largest=LARGEST_RESULT)
    with only_one(options.results):
        end_orphans(options.results / "logs")
        trials = Trials(template, measure_of(options), options, Runs(template, options, say=say))
        arms = trials.judged_arms()
        proof = _concluded(trials, arms)
        write_record(options.results / "proof.json", proof)
    return proof


def _concluded(trials: Trials, arms: Sequence[ForeignArm]) -> ForeignProof:
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
    trials: Trials, arms: Sequence[ForeignArm], best: ForeignArm | None
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


def _random_search(trials: Trials, arms: Sequence[ForeignArm], pairs: int) -> Estimate:
    """Return what the luckiest of several draws gains; it costs as much as all arms together."""
    count = max(2, sum(len(arm.values) for arm in arms) - pairs)
    draws = draws_of(trials.template, count=count)
    first = trials.runs.values([job_of(draw, 0) for draw in draws])
    luckiest = (min if trials.options.goal == "min" else max)(range(count), key=first.__getitem__)
    chosen = Setting("control: random search", draws[luckiest].values)
    values = trials.control(chosen, range(pairs))
    return trials.measure.improvement(trials.as_it_was, values)
