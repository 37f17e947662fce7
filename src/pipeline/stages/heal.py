"""The stage ``heal``: diagnose, verify, adopt what is confirmed, diagnose again, until nothing is left to mend."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.config import compose
from pipeline.config.experiment import check_replaceable, safe_name, write_experiment
from pipeline.config.overrides import merge, overrides_of
from pipeline.diagnosis import diagnose
from pipeline.diagnosis.remedies import named
from pipeline.diagnosis.verdict import HEALTHY, UNDETERMINED
from pipeline.diagnosis.verify import cost
from pipeline.files import write_atomically
from pipeline.stages.diagnose import read_own
from pipeline.stages.verify import verify
from pipeline.stages.verify_report import Verification, sentence, told
from pipeline.stages.verify_runs import Options, Patient, RunSweep

ROUNDS = 3


@dataclass(frozen=True)
class Step:
    """One round: what was wrong, what was adopted (None: nothing was confirmed), what it proved."""

    verdict: str
    confidence: float
    adopted: str | None
    overrides: tuple[str, ...]
    proof: str


@dataclass(frozen=True)
class Healing:
    """The whole chain. end: why it stopped.  patient: the configuration as it is now, and its diagnosis."""

    name: str
    steps: tuple[Step, ...]
    end: str
    patient: Patient
    experiment: Path | None


def heal(
    patient: Patient, options: Options, *, root: Path, run_sweep: RunSweep, rounds: int = ROUNDS
) -> Healing:
    """Mend a run round by round; write ``results/<name>/healing.json`` and ``conf/experiment/<name>_healed.yaml``.

    options.budget: runs of all rounds together.
    """
    name, left = patient.name, options.budget
    check_replaceable(name=f"{safe_name(name)}_healed", comment=_title(name), root=root)
    steps: list[Step] = []
    end = f"{rounds} rounds are done"
    for number in range(1, rounds + 1):
        verdict = patient.diagnosis.verdict
        if verdict in (HEALTHY, UNDETERMINED):
            end = verdict
            break
        if left is not None and left < cost(1, options.seeds):
            end = f"the budget is used: another round needs {cost(1, options.seeds)} runs, {left} are left"
            break
        # What a round has adopted is in force, so that the next one need not try it.
        open_ones = tuple(r for r in options.remedies if not steps or r in named(patient.settings))
        if options.remedies and not open_ones:
            end = "the remedies that were named are all in force"
            break
        asked = replace(options, budget=left, remedies=open_ones)
        found = verify(patient, asked, root=root, run_sweep=run_sweep)
        if found is None:
            end = "there is no remedy to try"
            break
        steps.append(_step(patient, found))
        print(_line(number, steps[-1]), flush=True)
        left = None if left is None else left - cost(len(found.judged), options.seeds)
        if not found.proved:
            end = "nothing was confirmed"
            break
        patient = _mended(patient, found, name=f"{name}_healed{number}", root=root)
    experiment = _export(name, patient, steps, root=root) if any(s.adopted for s in steps) else None
    healing = Healing(name, tuple(steps), end, patient, experiment)
    text = json.dumps(as_json(healing), indent=2) + "\n"
    write_atomically(root / "results" / name / "healing.json", text.encode())
    return healing


def _mended(patient: Patient, found: Verification, *, name: str, root: Path) -> Patient:
    """The run with the confirmed remedy: its configuration, and the diagnosis of its first trial."""
    assert found.chosen is not None and found.example is not None
    own = [o for o in patient.overrides if not o.startswith("name=")]
    overrides = merge(own, found.chosen.arm.overrides, root=root)
    _, values = compose([*overrides, f"name={name}"], root=root)
    trained = next((found.example / "models").iterdir()).name
    history, _ = read_own(trained, root=root, output=found.example)
    return Patient(name, tuple(overrides_of(values, root=root)), values, diagnose(history))


def _step(patient: Patient, found: Verification) -> Step:
    d, chosen = patient.diagnosis, found.chosen if found.proved else None
    return Step(
        verdict=d.verdict,
        confidence=d.confidence,
        adopted=chosen.arm.name if chosen else None,
        overrides=chosen.arm.overrides if chosen else (),
        proof=told(found.claim.remedy) if found.claim and found.proved else sentence(found),
    )


def _line(number: int, step: Step) -> str:
    what = step.verdict.replace("_", " ")
    if step.adopted is None:
        return f"round {number}: {what} ({step.confidence:.2f}); {step.proof}"
    return (
        f"round {number}: {what} ({step.confidence:.2f}) → {step.adopted.replace('_', ' ')} "
        f"({' '.join(step.overrides)}): test loss falls by {step.proof}"
    )


def _title(name: str) -> str:
    return f"{name}, mended and written by pipeline heal."


def _export(name: str, patient: Patient, steps: Sequence[Step], *, root: Path) -> Path:
    own = [o for o in patient.overrides if not o.startswith(("name=", "seed="))]
    lines = "\n".join(_line(i, s) for i, s in enumerate(steps, start=1))
    comment = f"{_title(name)}\n{lines}"
    return write_experiment(own, name=f"{safe_name(name)}_healed", comment=comment, root=root)


def as_json(healing: Healing) -> Mapping[str, Any]:
    """The chain as plain values."""
    return {
        "name": healing.name,
        "steps": [
            {
                "verdict": s.verdict,
                "confidence": round(s.confidence, 4),
                "adopted": s.adopted,
                "overrides": list(s.overrides),
                "proof": s.proof,
            }
            for s in healing.steps
        ],
        "end": healing.end,
        "verdict": healing.patient.diagnosis.verdict,
        "experiment": healing.experiment.stem if healing.experiment else None,
    }


def tell(healing: Healing) -> None:
    """Print how it ended, and the command."""
    now = healing.patient.diagnosis
    print(f"{healing.name}: {now.verdict.replace('_', ' ')} now ({now.confidence:.2f}); ended: {healing.end}")
    for number, step in enumerate(healing.steps, start=1):
        print(f"  {_line(number, step)}")
    if healing.experiment:
        print(f"pipeline train experiment={healing.experiment.stem}")
