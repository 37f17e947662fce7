"""The verification of a run: its remedies over paired seeds, beside two controls, judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.experiment import check_replaceable, safe_name, write_experiment
from pipeline.config.overrides import merge
from pipeline.diagnosis.paired_trials import Arm, judge, log_gains, relative_reduction
from pipeline.diagnosis.proof import Claim, Verification
from pipeline.diagnosis.record import Remedy
from pipeline.disk import check_results
from pipeline.files import write_record
from pipeline.reporting import forest
from pipeline.reporting.sentences import plain_percent, words
from pipeline.reporting.style import save_png
from pipeline.verification.claim import claim_of
from pipeline.verification.judgement import best_confirmed, concluded
from pipeline.verification.patient import Patient
from pipeline.verification.plan import VerificationOptions, VerificationPlan, plan_of
from pipeline.verification.progress import RunProgress
from pipeline.verification.record import record
from pipeline.verification.trials import (
    ARMS,
    AS_IT_WAS,
    RANDOM,
    RESEED,
    SEARCH,
    RunSweep,
    Trials,
)


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
            "A remedy can be tried all the same, for example with remedies=[dropout]"
        )
        return None
    # A refusal after all the training would come too late.
    check_results(patient.name, root=root)
    check_replaceable(name=_experiment_name(patient), comment=_title(patient), root=root)

    print(f"{patient.name}: {len(plan.remedies)} arms, {plan.num_runs} runs at most")
    progress.expect(runs=plan.num_runs, cost=plan.cost)
    trials = Trials(patient, options, root=root, run_sweep=run_sweep, progress=progress)
    trained = _train(trials, plan)
    verification = _judge(trials, plan, trained)
    _write(verification, trials)
    return verification


@dataclass(frozen=True)
class _Trained:
    """All arms of a verification, with their losses."""

    base: Arm
    arms: tuple[Arm, ...]
    reseeded: Arm
    random_best: Arm


def _train(trials: Trials, plan: VerificationPlan) -> _Trained:
    base, *arms = trials.train(ARMS, [AS_IT_WAS, *plan.remedies], plan.seeds)
    (reseeded,) = trials.train(RESEED, [AS_IT_WAS], plan.reseeds)
    draws = trials.train(SEARCH, plan.draws, plan.seeds[:1])
    (random_best,) = trials.train(RANDOM, [_luckiest(plan.draws, draws)], plan.seeds)
    return _Trained(base, tuple(arms), reseeded, random_best)


def _luckiest(draws: Sequence[Remedy], trained: Sequence[Arm]) -> Remedy:
    """Return the draw with the lowest validation loss."""
    best = min(range(len(draws)), key=lambda i: trained[i].losses[0])
    return draws[best]


def _judge(trials: Trials, plan: VerificationPlan, trained: _Trained) -> Verification:
    """Judge the arms on validation, and make a claim about the best confirmed one."""
    patient = trials.patient
    judged = judge(trained.base, trained.arms, symptom=patient.diagnosis.verdict)
    chosen = best_confirmed(judged)
    claim = experiment = None
    if chosen is not None:
        claim = claim_of(trials, plan, arm=chosen.name, random_arm=trained.random_best.name)
        if claim.proved:
            experiment = _export(patient, chosen.overrides, claim, root=trials.root)

    base = trained.base.losses
    return concluded(
        Verification(
            name=patient.name,
            symptom=patient.diagnosis.verdict,
            sentence="",
            seeds=len(plan.seeds),
            undecided=None,
            arms=tuple(judged),
            reseed=relative_reduction(log_gains(base, trained.reseeded.losses)),
            random=relative_reduction(log_gains(base, trained.random_best.losses)),
            claim=claim,
            experiment=experiment,
            studies=trials.studies,
        )
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
