"""The healing of a run: diagnose, verify, adopt the proved remedy, and repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.config import compose
from pipeline.config.experiment import check_replaceable, safe_name, write_experiment
from pipeline.config.overrides import merge, overrides_of
from pipeline.diagnosis import diagnose
from pipeline.diagnosis.proof import Healing, Round, Verification
from pipeline.diagnosis.record import HEALTHY, UNDETERMINED
from pipeline.files import write_record
from pipeline.reporting.sentences import plain_percent
from pipeline.reporting.verification_text import round_line
from pipeline.runs.files import RunFiles
from pipeline.runs.history import read_run
from pipeline.verification.patient import Patient, training_s
from pipeline.verification.plan import VerificationOptions, known_remedies, least_runs
from pipeline.verification.progress import RunProgress
from pipeline.verification.trials import RunSweep, first_finished_run
from pipeline.verification.verify import verify_with


def heal(
    patient: Patient,
    options: VerificationOptions,
    *,
    root: Path,
    run_sweep: RunSweep,
    rounds: int,
) -> Healing:
    """Heal a run round by round.

    options.budget: runs of all rounds together.  rounds: at most so many.
    Writes ``results/<name>/healing.json``, and ``conf/experiment/<name>_healed.yaml`` where a
    remedy was adopted. Raises `ConfigError` as `verify` does.
    """
    name = patient.name
    check_replaceable(name=_experiment_name(name), comment=_title(name), root=root)
    steps: list[Round] = []
    with RunProgress(f"heal {name}") as progress:
        while not (end := _reason_to_stop(patient, options, steps, rounds=rounds)):
            asked = replace(options, remedies=_not_in_force(patient, options, steps))
            found = verify_with(progress, patient, asked, root=root, run_sweep=run_sweep)
            if found is None:
                end = "there is no remedy to try"
                break
            steps.append(_round(patient, found))
            print(round_line(len(steps), steps[-1]), flush=True)
            if not found.proved:
                end = "nothing was confirmed"
                break
            options = _less_budget(options, found)
            healed = f"{name}_healed{len(steps)}"
            patient = _healed(patient, found, options, name=healed, root=root)

    return _written(name, patient, steps, end, root=root)


def _written(
    name: str, patient: Patient, steps: Sequence[Round], end: str, *, root: Path
) -> Healing:
    """Write the healed configuration and the record; return the record."""
    healing = Healing(
        name=name,
        steps=tuple(steps),
        end=end,
        verdict=patient.diagnosis.verdict,
        experiment=_export(name, patient, steps, root=root),
        confidence=round(patient.diagnosis.confidence, 4),
    )
    write_record(root / "results" / name / "healing.json", healing)
    return healing


def _reason_to_stop(
    patient: Patient, options: VerificationOptions, steps: Sequence[Round], *, rounds: int
) -> str:
    """Return why no further round begins; empty where one does."""
    if patient.diagnosis.verdict in (HEALTHY, UNDETERMINED):
        return patient.diagnosis.verdict
    if len(steps) == rounds:
        return "1 round is done" if rounds == 1 else f"{rounds} rounds are done"
    needed = least_runs(options)
    if options.budget is not None and options.budget < needed:
        return f"the budget is used: another round needs {needed} runs, {options.budget} are left"
    if options.remedies and not _not_in_force(patient, options, steps):
        return "the remedies that were named are all in force"
    return ""


def _not_in_force(
    patient: Patient, options: VerificationOptions, steps: Sequence[Round]
) -> tuple[str, ...]:
    """Return the named remedies that earlier rounds have not adopted.

    The first round keeps all of them, so that a wrong name is refused.
    """
    if not steps:
        return options.remedies
    known = known_remedies(patient)
    return tuple(remedy for remedy in options.remedies if remedy in known)


def _less_budget(options: VerificationOptions, found: Verification) -> VerificationOptions:
    if options.budget is None:
        return options
    assert found.num_runs is not None
    return replace(options, budget=options.budget - found.num_runs)


def _round(patient: Patient, found: Verification) -> Round:
    adopted = found.chosen if found.proved else None
    proved = plain_percent(found.claim.remedy) if found.claim else ""
    return Round(
        verdict=patient.diagnosis.verdict,
        confidence=round(patient.diagnosis.confidence, 4),
        adopted=adopted.name if adopted else None,
        overrides=adopted.overrides if adopted else (),
        proof=proved if adopted else found.sentence,
    )


def _healed(
    patient: Patient, found: Verification, options: VerificationOptions, *, name: str, root: Path
) -> Patient:
    """Return the run with the proved remedy, diagnosed by the first of its trials."""
    assert found.chosen is not None
    overrides = merge(patient.treatment_overrides, found.chosen.overrides, root=root)
    overrides = [*overrides, f"seed={patient.seed}"]
    _, values = compose([*overrides, f"name={name}"], root=root)
    folder = first_finished_run(patient, found.chosen, storage=options.storage, root=root)
    trained = next((folder / "models").iterdir()).name
    history = read_run(trained, root=root, output=folder).history
    took_s = training_s(RunFiles(folder, trained).read_history())
    return Patient(
        name,
        tuple(overrides_of(values, root=root)),
        values,
        diagnose(history),
        took_s,
        earlier=(*patient.earlier, patient.name),
    )


def _export(name: str, patient: Patient, steps: Sequence[Round], *, root: Path) -> str | None:
    """Write the healed configuration as an experiment; return its name, None without a remedy."""
    if not any(step.adopted for step in steps):
        return None
    lines = [round_line(number, step) for number, step in enumerate(steps, start=1)]
    comment = "\n".join([_title(name), *lines])
    overrides, experiment = patient.treatment_overrides, _experiment_name(name)
    return write_experiment(overrides, name=experiment, comment=comment, root=root).stem


def _experiment_name(name: str) -> str:
    return f"{safe_name(name)}_healed"


def _title(name: str) -> str:
    return f"{name}, mended and written by pipeline heal."
