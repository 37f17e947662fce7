"""What a verification has found: as a sentence, a table, files, and runs in MLflow."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.diagnosis.verify import (
    Judged,
    as_json,
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
    example: Path | None  # output folder of the chosen arm's first run

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
    if found.chosen is None or found.claim is None:
        needed = [j.seeds_needed for j in found.judged if j.seeds_needed]
        least = f" The nearest to a decision needs about {min(needed)} seeds." if needed else ""
        return f"{name}: no remedy is confirmed over {found.judged[0].improvement.n} paired seeds.{least}"
    c = found.claim
    if not found.proved:
        return (
            f"{name}: {c.arm.replace('_', ' ')} lowers validation loss beyond noise, but test loss by "
            f"{told(c.remedy)} over {c.remedy.n} paired seeds: not proved. More seeds would tell: seeds={2 * c.remedy.n}"
        )
    gone = "is gone" if found.chosen.symptom <= 0.5 else "is still there"
    symptom = found.patient.diagnosis.verdict.replace("_", " ")
    return (
        f"{name}: {c.arm.replace('_', ' ')} lowers test loss by {told(c.remedy)} over {c.remedy.n} paired seeds; "
        f"a reseed changes it by {told(c.reseed)}, random search of equal cost gains {told(c.random)}. "
        f"{symptom.capitalize() if found.patient.diagnosis.findings else 'The symptom'} {gone}."
    )


def write(found: Verification, trials: Trials) -> None:
    """Write ``verification.json`` and its picture, and record the verification in MLflow."""
    folder = trials.root / "results" / found.patient.name
    values = {
        "name": found.patient.name,
        "symptom": found.patient.diagnosis.verdict,
        "sentence": sentence(found),
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


def tell(found: Verification) -> None:
    """Print the arms and the sentence."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for head in ("arm", "fall of validation loss", "p (Holm)", "verdict", "symptom still there"):
        table.add_column(head)
    for j in found.judged:
        needed = f" (needs about {j.seeds_needed} seeds)" if j.seeds_needed else ""
        new = f", new: {', '.join(j.new_symptoms)}" if j.new_symptoms else ""
        table.add_row(
            j.arm.name, told(j.improvement), f"{j.p_value:.2g}", j.verdict + needed + new, f"{j.symptom:.0%}"
        )
    table.add_row("control: reseeded", told(found.reseed), "", "", "")
    table.add_row("control: random search", told(found.random), "", "", "")
    console = Console(highlight=False)
    console.print(table)
    print(sentence(found))
    if found.experiment:
        print(f"pipeline train experiment={found.experiment.stem}")
