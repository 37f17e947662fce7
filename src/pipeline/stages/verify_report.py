"""What a verification has found: as a sentence, a table, files, and runs in MLflow."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.diagnosis.verify import (
    MOST_SEEDS,
    NOT_CONFIRMED,
    Judged,
    as_json,
    cost,
    nearest_to_decision,
    seeds_to_decide,
)
from pipeline.files import write_atomically
from pipeline.records import Estimate
from pipeline.reporting import forest
from pipeline.reporting.style import save_png
from pipeline.stages.verify_record import record
from pipeline.stages.verify_runs import Claim, Patient, Trials
from pipeline.sweep.trial import VERDICT


@dataclass(frozen=True)
class Verification:
    """The arms as judged on validation, the best confirmed one, and its claim on the test set.

    experiment: where the configuration was written; None unless it was proved.
    """

    patient: Patient
    judged: tuple[Judged, ...]
    reseed: Estimate
    random: Estimate
    chosen: Judged | None
    claim: Claim | None
    experiment: Path | None
    example: Path | None  # output folder of the chosen arm's first run that left a model

    @property
    def seeds(self) -> int:
        """Of every arm."""
        return self.judged[0].improvement.n

    @property
    def proved(self) -> bool:
        """Whether the test loss falls beyond noise too."""
        return self.claim is not None and self.claim.remedy.low > 0


def told(e: Estimate) -> str:
    """``18 % [12, 24]``."""
    return f"{100 * e.value:.0f} % [{100 * e.low:.0f}, {100 * e.high:.0f}]"


def sentence(found: Verification) -> str:
    """What a person takes home."""
    name = found.patient.name
    near = undecided(found)
    if found.chosen is None or found.claim is None:
        if near is None:
            return f"{name}: no remedy is confirmed over {found.seeds} paired seeds."
        return f"{name}: cannot be decided with this budget, {found.seeds} paired seeds. {_needs(near)}"
    c = found.claim
    if not found.proved:
        what = (
            f"{name}: {c.arm.replace('_', ' ')} lowers validation loss beyond noise, but test loss by "
            f"{told(c.remedy)} over {c.remedy.n} paired seeds: not proved."
        )
        return f"{what} It cannot be decided with this budget. {_needs(near)}" if near else what
    gone = "is gone" if found.chosen.symptom <= 0.5 else "is still there"
    symptom = found.patient.diagnosis.verdict.replace("_", " ")
    return (
        f"{name}: {c.arm.replace('_', ' ')} lowers test loss by {told(c.remedy)} over {c.remedy.n} paired seeds; "
        f"a reseed changes it by {told(c.reseed)}, random search of equal cost gains {told(c.random)}. "
        f"{symptom.capitalize() if found.patient.diagnosis.findings else 'The symptom'} {gone}."
    )


@dataclass(frozen=True)
class Undecided:
    """What an arm still needs. seeds: about how many, from the spread that was seen.  runs: with this arm alone."""

    arm: str
    seeds: int
    runs: int


def undecided(found: Verification) -> Undecided | None:
    """The arm that is nearest to proof, where nothing is proved; None where something is, or nothing seems to help."""
    if found.proved:
        return None
    if found.claim is not None:
        seeds = seeds_to_decide(found.claim.remedy) if found.claim.remedy.value > 0 else None
        return Undecided(found.claim.arm, seeds, cost(1, seeds)) if seeds else None
    near = nearest_to_decision(found.judged)
    if near is None or near.seeds_needed is None:
        return None
    return Undecided(near.arm.name, near.seeds_needed, cost(1, near.seeds_needed))


def _needs(near: Undecided) -> str:
    return (
        f"{near.arm.replace('_', ' ').capitalize()} needs about {near.seeds} seeds: "
        f"seeds={near.seeds}, {near.runs} runs with this remedy alone."
    )


def write(found: Verification, trials: Trials) -> None:
    """Write ``verification.json`` and its picture, and record the verification in MLflow."""
    folder = trials.root / "results" / found.patient.name
    near = undecided(found)
    values = {
        "name": found.patient.name,
        "symptom": found.patient.diagnosis.verdict,
        "sentence": sentence(found),
        "seeds": found.seeds,
        "undecided": asdict(near) if near else None,
        "arms": [as_json(j) for j in found.judged],
        "reseed": asdict(found.reseed),
        "random": asdict(found.random),
        "claim": asdict(found.claim) if found.claim else None,
        "experiment": found.experiment.stem if found.experiment else None,
        "studies": trials.studies,
    }
    files = [folder / "verification.json", folder / "verification.png"]
    save_png(forest.plot(_rows(found), title=f"{found.patient.name}: fall of the validation loss"), files[1])
    write_atomically(files[0], (json.dumps(values, indent=2) + "\n").encode())
    record(
        trials,
        tags={
            VERDICT: found.patient.diagnosis.verdict,
            "verify.sentence": sentence(found),
            "verify.proved": found.chosen.arm.name if found.chosen and found.proved else "nothing",
        },
        metrics={f"improvement/{_metric_name(j.arm.name)}": j.improvement.value for j in found.judged}
        | {"improvement/reseed": found.reseed.value, "improvement/random": found.random.value},
        sentence=sentence(found),
        judged={j.arm.name: j.verdict for j in found.judged},
        files=files,
    )


def _rows(found: Verification) -> list[forest.Row]:
    rows = [forest.Row(j.arm.name, j.improvement, j.verdict) for j in found.judged]
    rows.append(forest.Row("control: reseeded", found.reseed, "control"))
    rows.append(forest.Row("control: random search", found.random, "control"))
    return rows


def _metric_name(arm: str) -> str:
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in arm)


def _verdict(judged: Judged) -> str:
    """An arm's verdict, and why it is not another one."""
    if judged.new_symptoms:
        return f"{judged.verdict}, new: {', '.join(judged.new_symptoms)}"
    if judged.verdict != NOT_CONFIRMED:
        return judged.verdict
    needed = f"about {judged.seeds_needed}" if judged.seeds_needed else f"more than {MOST_SEEDS}"
    return f"{judged.verdict}, needs {needed} seeds"


def tell(found: Verification) -> None:
    """Print the arms and the sentence."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for head in ("arm", "fall of validation loss", "p (Holm)", "verdict", "symptom still there"):
        table.add_column(head)
    for j in found.judged:
        table.add_row(j.arm.name, told(j.improvement), f"{j.p_value:.2g}", _verdict(j), f"{j.symptom:.0%}")
    table.add_row("control: reseeded", told(found.reseed), "", "", "")
    table.add_row("control: random search", told(found.random), "", "", "")
    console = Console(highlight=False)
    console.print(table)
    print(sentence(found))
    if found.experiment:
        print(f"pipeline train experiment={found.experiment.stem}")
