"""Does `pipeline heal` heal? On planted faults, on healthy runs, and against both of its controls.

    python benchmarks/heal.py & python benchmarks/heal.py; wait   # two processes share the cases
    python benchmarks/heal.py --table                             # the results so far
    python benchmarks/heal.py --quick                             # two faults, two healthy runs
    python benchmarks/heal.py --parts faults --models mlp --rounds 1   # for early.py replay

Every case is a run of `planted.py` (4,000 images of 14x14 pixels). `pipeline train` trains it and
`heal` mends it, with real sweeps, in the project `benchmarks/runs/heal/`. A finished case is not
repeated, and a killed one resumes. The cases have seeds of their own: nothing was tuned or reported
on them.

faults   Planted at middle severity. A case is healed if heal proved and adopted at least one
         remedy. A run that is called healthy at once counts as not healed.
healthy  `heal` on runs without a fault. It should confirm nothing.
named    `verify` on such runs, with two remedies by name.

A remedy that is confirmed on a healthy run need not be false, since a healthy run may still
improve. So every remedy that was proved there is trained again, over five other paired seeds. It is
false if the test loss does not fall beyond noise, and immaterial if it falls by less than 5 %.

placebo  The control `reseed`, judged as if it were a remedy. It changes only the seed, so each
         confirmation of it is false. random: the control of random search, judged likewise.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from planted import BASE, EPOCHS, HEALTHY_VARIANTS, Overrides, PlantedRun, faults, healthy
from planted_runs import FOLDER, ROOT, guessing, overrides_of, paired, small, trained

PROJECT = FOLDER / "heal"
FAULTS = (
    "undertrained",
    "learning_rate_too_high",
    "over_regularized",
    "overfitting",
    "vanishing_gradients",
)
MODELS = ("mlp", "cnn")
SEVERITY = 2
ROUNDS = 3
NUM_SEEDS = 5  # of every arm, from the case's own on
SEEDS = {"faults": (20, 30), "healthy": (40, 50, 60, 70), "named": (80,)}
FRESH = tuple(range(200, 205))
NAMED = ("l2", "dropout", "weight_decay", "label_smoothing")


@dataclass(frozen=True)
class Case:
    """One run to mend. part: faults, healthy or named."""

    part: str
    plan: PlantedRun

    @property
    def name(self) -> str:
        p = self.plan
        return f"{self.part}_{p.verdict}_{p.severity}_{p.model}_{p.seed}"


def cases(parts: Sequence[str]) -> Iterator[Case]:
    """Yield one seed of each part in turn, the cheap faults first, with both networks each."""
    for turn in range(max(len(SEEDS[part]) for part in parts)):
        for part, seed in ((p, SEEDS[p][turn]) for p in parts if turn < len(SEEDS[p])):
            for verdict, severity in _kinds(part):
                for model in MODELS:
                    planted = _overrides(verdict, severity, model)
                    yield Case(
                        part, PlantedRun(part, verdict, severity, model, "mnist", seed, planted)
                    )


def _kinds(part: str) -> list[tuple[str, int]]:
    if part == "faults":
        return [(verdict, SEVERITY) for verdict in FAULTS]
    return [("healthy", variant) for variant in range(HEALTHY_VARIANTS)]


def _overrides(verdict: str, severity: int, model: str) -> Overrides:
    base = (*BASE[model], f"trainer.max_epochs={EPOCHS[model]}")
    if verdict == "healthy":
        return (*base, *healthy(model, variant=severity))
    return (*base, *faults(model)[verdict][0][severity - 1])


def quick(case: Case) -> bool:
    """The cheapest fault, and one healthy run of each network."""
    plan = case.plan
    return plan.seed == SEEDS[plan.part][0] and (
        plan.verdict == "undertrained" or (plan.part == "healthy" and plan.severity == 3)
    )


# --- doing it -------------------------------------------------------------------------------------


def prepare() -> None:
    """A project of its own: the true ``conf/``, and the small images as its prepared data."""
    from pipeline.data.store import write_prepared

    PROJECT.mkdir(parents=True, exist_ok=True)
    with FileLock(PROJECT / "prepare.lock"):
        if not (PROJECT / "conf").is_dir():
            shutil.copytree(ROOT / "conf", PROJECT / "conf")
        if not (PROJECT / "data/processed/mnist/card.json").is_file():
            write_prepared(small("mnist"), PROJECT / "data/processed/mnist")
        for folder in ("studies", "cases", "logs"):
            (PROJECT / folder).mkdir(exist_ok=True)


def do(case: Case, *, budget: int, rounds: int) -> dict[str, Any]:
    """Train a case's run as a person would, and mend it; return its record."""
    from pipeline import cli
    from pipeline.errors import TrainingError
    from pipeline.launch import multirun
    from pipeline.verification.healing import heal
    from pipeline.verification.patient import patient_of
    from pipeline.verification.plan import VerificationOptions
    from pipeline.verification.verify import verify

    began = time.perf_counter()
    run_sweep = partial(multirun, root=PROJECT)
    told: dict[str, Any] = {
        **asdict(case.plan),
        "verdict_planted": case.plan.verdict,
        "name": case.name,
        "budget": budget,
    }
    if not (PROJECT / "models" / case.name / "model.json").is_file():
        with contextlib.suppress(TrainingError):  # what diverged can be healed too
            cli.call("train", [*overrides_of(case.plan), f"name={case.name}"])
    patient = patient_of(case.name, root=PROJECT)
    told |= {"found": patient.diagnosis.verdict, "confidence": patient.diagnosis.confidence}
    options = VerificationOptions(
        storage=f"sqlite:///studies/{case.name}.db", seeds=NUM_SEEDS, budget=budget
    )
    if case.part == "named":
        asked = by_name(options, patient.settings)
        verify(patient, asked, root=PROJECT, run_sweep=run_sweep)
        told |= {"steps": [], "end": "", "verdict": ""}
    else:
        healing = heal(patient, options, root=PROJECT, run_sweep=run_sweep, rounds=rounds)
        told |= {
            "steps": [asdict(step) for step in healing.steps],
            "end": healing.end,
            "verdict": healing.verdict,
            "experiment": healing.experiment,
        }
    told["rounds"] = list(rounds_of(case.name))
    if case.part != "faults":
        proved = [o for r in told["rounds"] if r["proved"] for o in r["overrides"]]
        told["again"] = again(case.plan, proved) if proved else None
    return {**told, "seconds": round(time.perf_counter() - began, 1)}


def by_name(options: Any, settings: Any) -> Any:
    """The first two of `NAMED` that have an effect."""
    from pipeline.diagnosis.faults import remedies_by_name

    known = remedies_by_name(settings)
    return replace(options, remedies=tuple([r for r in NAMED if r in known][:2]))


def rounds_of(name: str) -> Iterator[dict[str, Any]]:
    """Yield a summary of each verification of a case, in the order of the rounds."""
    from pipeline.diagnosis.proof import Verification
    from pipeline.files import read_record

    for number in range(10):
        folder = f"{name}_healed{number}" if number else name
        path = PROJECT / "results" / folder / "verification.json"
        if not path.is_file():
            return
        found = read_record(path, Verification, way_out="Remove it and run the benchmark again.")
        chosen = found.chosen
        yield {
            "symptom": found.symptom,
            "arms": {arm.name: arm.verdict for arm in found.arms},
            "chosen": chosen.name if chosen else None,
            "overrides": list(chosen.overrides) if chosen else [],
            "symptom_share": chosen.symptom_share if chosen else None,
            "proved": found.proved,
            "claim": asdict(found.claim) if found.claim else None,
            "validation": {"reseed": asdict(found.reseed), "random": asdict(found.random)},
            "sentence": found.sentence,
        }


def again(plan: PlantedRun, remedy: Sequence[str]) -> dict[str, Any]:
    """Whether a remedy lowers the test loss of a run over fresh paired seeds."""
    twins = [replace(plan, seed=seed) for seed in FRESH]
    losses = [
        [guessing(trained(overrides_of(t, extra))["test_loss"]) for extra in ((), remedy)]
        for t in twins
    ]
    return {"remedy": list(remedy), **paired(np.array(losses))}


def work(chosen: Sequence[Case], *, budget: int, rounds: int) -> None:
    """Do every case that nobody has done or is at."""
    os.chdir(PROJECT)
    for case in chosen:
        path = PROJECT / "cases" / f"{case.name}.json"
        with (
            contextlib.suppress(Timeout),
            FileLock(PROJECT / "cases" / f"{case.name}.lock", timeout=0),
        ):
            if path.is_file():
                continue
            with (
                (PROJECT / "logs" / f"{case.name}.txt").open("a") as log,
                contextlib.redirect_stdout(log),
            ):
                told = do(case, budget=budget, rounds=rounds)
            path.write_text(json.dumps(told, indent=1))
            print(_line(told), flush=True)


def _line(told: dict[str, Any]) -> str:
    steps = ", ".join(s["adopted"] or "nothing" for s in told["steps"])
    proved = ", ".join(r["chosen"] for r in told["rounds"] if r["proved"])
    return (
        f"{told['name']}: {told['found']}; adopted {steps or proved or '-'}; "
        f"{told.get('verdict') or '-'} now; "
        f"{told['end'] or 'verified'}; {told.get('seconds', 0):.0f} s"
    )


# --- tables ---------------------------------------------------------------------------------------


def records(part: str) -> list[dict[str, Any]]:
    found = [json.loads(p.read_text()) for p in sorted((PROJECT / "cases").glob(f"{part}_*.json"))]
    return sorted(found, key=lambda t: t["seed"])


def adopted(told: dict[str, Any]) -> bool:
    return any(s["adopted"] for s in told["steps"])


def table() -> None:
    _faults(records("faults"))
    _healthy(records("healthy"))
    _named(records("named"))
    _controls([r for t in records("faults") for r in t["rounds"]])


def _faults(found: Sequence[dict[str, Any]]) -> None:
    print(
        "\n| planted | n | found as | healed | … and healthy now | remedy | reseed "
        "| random search | adopted |\n|---|---|---|---|---|---|---|---|---|"
    )
    for verdict in FAULTS:
        of_fault = [t for t in found if t["verdict_planted"] == verdict]
        if of_fault:
            print(f"| {' | '.join([verdict, *_fault_cells(of_fault)])} |")
    if found:
        _summary(found)


def _fault_cells(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the cells of one planted fault, in the order of the table's head."""
    yield str(len(found))
    yield _counts(Counter(t["found"] for t in found))
    yield str(sum(map(adopted, found)))
    yield str(sum(adopted(t) and t["verdict"] == "healthy" for t in found))
    claims = [r["claim"] for t in found for r in t["rounds"][:1] if r["claim"]]
    for arm in ("remedy", "reseed", "random"):
        yield _falls([claim[arm]["value"] for claim in claims])
    yield _counts(Counter(s["adopted"] for t in found for s in t["steps"] if s["adopted"]))


def _summary(found: Sequence[dict[str, Any]]) -> None:
    print(f"\nhealed: {share(sum(map(adopted, found)), len(found))}")
    well = [t for t in found if adopted(t) and t["verdict"] == "healthy"]
    print(f"  healed, and healthy at the end: {share(len(well), len(found))}")
    firsts = [r["claim"] for t in found for r in t["rounds"][:1] if r["proved"]]
    better = sum(c["remedy"]["value"] > c["random"]["value"] for c in firsts)
    print(f"  remedy above random search on the test part: {share(better, len(firsts))}")
    for t in found:
        if not adopted(t):
            print(f"  not healed: {t['name']}: {t['found']}; {t['end']}; {_last(t)}")


def _healthy(found: Sequence[dict[str, Any]]) -> None:
    if not found:
        return
    alarmed = [t for t in found if t["found"] not in ("healthy", "undetermined")]
    confirmed = [t for t in found if adopted(t)]
    print(f"\nhealthy runs alarmed: {share(len(alarmed), len(found))}")
    unchanged = share(len(found) - len(confirmed), len(found))
    print(f"healthy runs on which heal confirms nothing: {unchanged}")
    false = [t for t in confirmed if t["again"]["low"] <= 0]
    print(f"  confirmed, but not over fresh seeds: {share(len(false), len(found))}")
    for t in alarmed:
        print(f"  {t['name']}: {t['found']}; {_last(t)} {_again(t)}")


def _named(found: Sequence[dict[str, Any]]) -> None:
    if not found:
        return
    arms = Counter(v for t in found for r in t["rounds"] for v in r["arms"].values())
    proved = [t for t in found if t["again"]]
    false = [t for t in proved if t["again"]["low"] <= 0]
    print(f"\nnamed remedies on healthy runs: {len(found)} verifications, arms {dict(arms)}")
    print(f"  proved: {share(len(proved), len(found))}; false: {share(len(false), len(found))}")
    for t in proved:
        print(f"  {t['name']}: {_last(t)} {_again(t)}")


def _controls(rounds: Sequence[dict[str, Any]]) -> None:
    """Judge both controls as if they were a remedy: on validation, and on test after a claim."""
    if not rounds:
        return
    claimed = [r for r in rounds if r["claim"]]
    print(
        f"\n| judged as a remedy | confirmed (validation), of {len(rounds)} "
        f"| proved (test), of {len(claimed)} |"
    )
    print("|---|---|---|")
    for control in ("reseed", "random"):
        confirmed = [r for r in rounds if r["validation"][control]["low"] > 0]
        proved = [r for r in confirmed if r["claim"] and r["claim"][control]["low"] > 0]
        shares = (share(len(confirmed), len(rounds)), share(len(proved), len(claimed)))
        print(f"| {control} | {' | '.join(shares)} |")


def share(hits: int, n: int) -> str:
    from pipeline.evaluation.intervals import wilson

    if n == 0:
        return "none"
    e = wilson(hits, n)
    return f"{e.value:.0%} [{e.low:.0%}, {e.high:.0%}] ({hits} of {n})"


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.most_common()) or "-"


def _falls(values: Sequence[float]) -> str:
    """Median and range of relative falls of the test loss."""
    if not values:
        return "-"
    return f"{statistics.median(values):.0%} ({min(values):.0%} … {max(values):.0%})"


def _last(told: dict[str, Any]) -> str:
    return str(told["rounds"][-1]["sentence"]) if told["rounds"] else ""


def _again(told: dict[str, Any]) -> str:
    a = told["again"]
    return (
        f"On fresh seeds: {a['relative']:.1%}, {a['low']:.4f} … {a['high']:.4f} nats." if a else ""
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="*", choices=list(SEEDS), default=list(SEEDS))
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="most rounds of each heal")
    parser.add_argument(
        "--budget", type=int, default=30, help="runs of each heal: 30 are two remedies"
    )
    parser.add_argument(
        "--quick", action="store_true", help="undertrained runs, and two healthy ones"
    )
    parser.add_argument("--table", action="store_true", help="only print what is known")
    options = parser.parse_args()
    chosen = [c for c in cases(options.parts) if c.plan.model in options.models]
    if options.quick:
        chosen = [c for c in chosen if quick(c)]
    prepare()
    if not options.table:
        work(chosen, budget=options.budget, rounds=options.rounds)
    table()


if __name__ == "__main__":
    sys.exit(main())
