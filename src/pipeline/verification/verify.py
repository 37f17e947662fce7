"""The verification of a run: its remedies over paired seeds, beside two controls, judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.config.experiment import check_replaceable, safe_name, write_experiment
from pipeline.config.overrides import merge
from pipeline.diagnosis.paired_trials import (
    LEAST_SEEDS,
    Arm,
    Judged,
    judge,
    log_gains,
    relative_reduction,
)
from pipeline.diagnosis.proof import Claim, Verification
from pipeline.diagnosis.record import Remedy
from pipeline.disk import check_results
from pipeline.files import write_record
from pipeline.reporting import forest
from pipeline.reporting.sentences import plain_percent, words
from pipeline.reporting.style import save_png
from pipeline.reporting.verification_text import early_lines, plan_line
from pipeline.verification.claim import claim_of
from pipeline.verification.early import EarlyTrials, joined
from pipeline.verification.judgement import best_confirmed, concluded
from pipeline.verification.parts import ARMS, AS_IT_WAS, RANDOM, RESEED, SEARCH
from pipeline.verification.patient import Patient
from pipeline.verification.plan import (
    VerificationOptions,
    VerificationPlan,
    known_remedies,
    least_runs,
    plan_of,
)
from pipeline.verification.progress import RunProgress
from pipeline.verification.record import record
from pipeline.verification.trials import RunSweep, Trials


def verify(
    patient: Patient, options: VerificationOptions, *, root: Path, run_sweep: RunSweep
) -> Verification | None:
    """Train and judge the remedies of a run; return None where the diagnosis offers none.

    Writes ``results/<name>/verification.json`` and ``verification.png``, and the proved
    configuration as ``conf/experiment/<name>_verified.yaml``.
    Raises `ConfigError` for remedies that are unknown or without effect, for too few seeds or runs,
    and where a person's experiment has the name of ours.
    """
    with RunProgress(f"verify {patient.name}") as progress:
        return verify_with(progress, patient, options, root=root, run_sweep=run_sweep)


def verify_with(
    progress: RunProgress,
    patient: Patient,
    options: VerificationOptions,
    *,
    root: Path,
    run_sweep: RunSweep,
) -> Verification | None:
    """Verify as `verify` does, and count the runs in a progress that the caller shows."""
    plan = plan_of(patient, options)
    if plan is None:
        print(
            f"{patient.name}: {words(patient.diagnosis.verdict)}; there is nothing to verify. "
            "A remedy can be tried all the same: remedies=[more_epochs], or one or two of "
            f"{', '.join(known_remedies(patient))}"
        )
        return None
    # A refusal after all the training would come too late.
    check_results(patient.name, root=root)
    check_replaceable(name=_experiment_name(patient), comment=_title(patient), root=root)

    trials = Trials(patient, options, root=root, run_sweep=run_sweep, progress=progress)
    progress.work.typical_s, jobs = patient.training_s, options.num_jobs
    if jobs is None:  # a cluster's nodes are other machines
        progress.work.typical_s = None
    else:
        progress.work.parallel = max(1, min(jobs, plan.num_runs))
    if options.early:
        verification = _decide_early(trials, plan)
    else:
        _say_fixed(trials, plan)
        verification = _judge(trials, plan, _train(trials, plan))
    _write(verification, trials)
    return verification


def _say_fixed(trials: Trials, plan: VerificationPlan) -> None:
    """Print what will be trained, what is known already, and how long it will take."""
    trials.progress.expect(runs=plan.num_runs, cost=plan.cost)
    known = sum(trials.count_known(arms, seeds) for arms, seeds in _first_parts(plan))
    draws = trials.known_arms(plan.draws, plan.seeds[:1])
    if draws is not None:  # then it is known which draw goes on
        known += trials.count_known([_luckiest(plan.draws, draws)], plan.seeds[1:])
    line = plan_line(
        trials.patient.name,
        remedies=len(plan.remedies),
        runs=plan.num_runs,
        known=known,
        left_s=trials.progress.work.seconds_left(),
        num_jobs=trials.options.num_jobs,
    )
    print(line, flush=True)


def _say_early(trials: Trials, plan: VerificationPlan) -> None:
    """Print how the remedies are tried, and how many runs that may take."""
    budget, least = trials.options.budget, least_runs(trials.options)
    most = plan.num_runs if budget is None else min(plan.num_runs, budget)
    work, longer = trials.progress.work, [remedy.cost - 1 for remedy in plan.remedies]
    runs = (least + longer[0] * LEAST_SEEDS, most + sum(longer) * len(plan.seeds))
    run_s = work.typical_s
    line = early_lines(
        trials.patient.name,
        remedies=[remedy.name for remedy in plan.remedies],
        least=least,
        most=most,
        times_s=None if run_s is None else tuple(run_s * n / work.parallel for n in runs),
    )
    print(line, flush=True)


def _first_parts(plan: VerificationPlan) -> list[tuple[list[Remedy], Sequence[int]]]:
    """Return arms and seeds of all parts whose content does not follow from other runs."""
    return [
        ([AS_IT_WAS, *plan.remedies], plan.seeds),
        ([AS_IT_WAS], plan.reseeds),
        (list(plan.draws), plan.seeds[:1]),
    ]


@dataclass(frozen=True)
class _Trained:
    """All arms of a verification, with their losses."""

    base: Arm
    arms: tuple[Arm, ...]
    reseeded: Arm
    random_best: Arm


def _train(trials: Trials, plan: VerificationPlan) -> _Trained:
    parts = zip((ARMS, RESEED, SEARCH), _first_parts(plan), strict=True)
    (base, *arms), (reseeded,), draws = (
        trials.train(part, of, seeds) for part, (of, seeds) in parts
    )
    luckiest = _luckiest(plan.draws, draws)
    (rest,) = trials.train(RANDOM, [luckiest], plan.seeds[1:])
    first = next(arm for arm in draws if arm.name == luckiest.name)
    return _Trained(base, tuple(arms), reseeded, joined(first, rest))


def _luckiest(draws: Sequence[Remedy], trained: Sequence[Arm]) -> Remedy:
    """Return the draw with the lowest validation loss."""
    best = min(range(len(draws)), key=lambda i: trained[i].losses[0])
    return draws[best]


def _judge(trials: Trials, plan: VerificationPlan, trained: _Trained) -> Verification:
    """Judge the arms on validation, and make a claim about the best confirmed one."""
    judged = judge(trained.base, trained.arms, symptom=trials.patient.diagnosis.verdict)
    base, controls = trained.base, (trained.reseeded, trained.random_best)
    found = _verification(trials, plan, base, judged, controls, num_runs=plan.num_runs)
    return concluded(found)


def _decide_early(trials: Trials, plan: VerificationPlan) -> Verification:
    """Add pairs until they decide; run the controls only beside a confirmed remedy."""
    symptom, budget = trials.patient.diagnosis.verdict, trials.options.budget
    _say_early(trials, plan)
    progress = trials.progress
    progress.ahead = "to the next decision"
    runs = EarlyTrials(
        trials, plan, symptom, budget=budget, announce=progress.next_step, say=progress.say
    )
    judged, controls = runs.decide(), runs.controls()
    base, seeds = runs.base, len(runs.base.losses)
    if controls is not None:  # the claim is about the pairs of the confirmed remedy
        pairs = len(controls[0].losses)
        plan = replace(plan, seeds=plan.seeds[:pairs], reseeds=plan.reseeds[:pairs])
        base = replace(base, losses=base.losses[:pairs])
    found = _verification(trials, plan, base, judged, controls, num_runs=runs.num_runs)
    return concluded(replace(found, seeds=seeds, stop="early", untried=runs.untried))


def _verification(
    trials: Trials,
    plan: VerificationPlan,
    base: Arm,
    judged: Sequence[Judged],
    controls: tuple[Arm, Arm] | None,
    *,
    num_runs: int,
) -> Verification:
    """Return the record without its conclusions. controls: the reseeded run, the best draw."""
    patient, chosen = trials.patient, best_confirmed(judged)
    claim = experiment = reseed = random = None
    if controls is not None:
        reseed, random = (
            relative_reduction(log_gains(base.losses, control.losses)) for control in controls
        )
    if chosen is not None and controls is not None:
        claim = claim_of(trials, plan, arm=chosen.name, random_arm=controls[1].name)
        if claim.proved:
            experiment = _export(patient, chosen.overrides, claim, root=trials.root)
    return Verification(
        name=patient.name,
        symptom=patient.diagnosis.verdict,
        sentence="",
        seeds=len(plan.seeds),
        undecided=None,
        arms=tuple(judged),
        reseed=reseed,
        random=random,
        claim=claim,
        experiment=experiment,
        studies=trials.used.studies,
        num_runs=num_runs,
    )


def _write(verification: Verification, trials: Trials) -> None:
    """Write the record and its picture, and record both in MLflow."""
    folder = trials.root / "results" / verification.name
    files = [folder / "verification.json", folder / "verification.png"]
    title = f"{verification.name}: fall of the validation loss"
    save_png(forest.plot(forest.rows_of(verification), title=title), files[1])
    write_record(files[0], verification)
    record(trials, verification, files=files)


def _export(patient: Patient, remedy: Sequence[str], claim: Claim, *, root: Path) -> str:
    """Write the proved configuration as an experiment; return its name."""
    proof = (
        f"{claim.arm}: test loss falls by {plain_percent(claim.remedy)} over {claim.remedy.n} "
        "paired seeds."
    )
    overrides = merge(patient.treatment_overrides, remedy, root=root)
    name, comment = _experiment_name(patient), f"{_title(patient)}\n{proof}"
    return write_experiment(overrides, name=name, comment=comment, root=root).stem


def _experiment_name(patient: Patient) -> str:
    return f"{safe_name(patient.name)}_verified"


def _title(patient: Patient) -> str:
    return f"The confirmed remedy of {patient.name}, written by pipeline verify."
