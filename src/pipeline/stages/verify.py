"""The stage ``verify``: trains a run's remedies over paired seeds beside two controls, and judges them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.config import nearest
from pipeline.config.experiment import check_replaceable, safe_name, write_experiment
from pipeline.config.overrides import merge
from pipeline.diagnosis.remedies import CHECKS, Remedy, named, remedies
from pipeline.diagnosis.verdict import HEALTHY, UNDETERMINED
from pipeline.diagnosis.verify import (
    CONFIRMED,
    LEAST_SEEDS,
    Judged,
    combinations,
    cost,
    judge,
    log_gains,
    num_draws,
    random_arms,
    relative,
)
from pipeline.errors import ConfigError
from pipeline.stages.verify_report import Verification, told, write
from pipeline.stages.verify_runs import BASE, Claim, Options, Patient, RunSweep, Trials, claimed

RESEEDED = 1000
MOST_ARMS = 4
MOST_COST = 12.0


def verify(patient: Patient, options: Options, *, root: Path, run_sweep: RunSweep) -> Verification | None:
    """Train and judge; write ``results/<name>/verification.json`` and ``.png``. None where nothing is to be done.

    Raises `ConfigError` for remedies that are unknown or without effect, too few seeds or runs, and where a
    person's experiment stands in the place of ours.
    """
    offered = planned(patient, options)
    if not offered:
        print(
            f"{patient.name}: {patient.diagnosis.verdict.replace('_', ' ')}; there is nothing to verify. "
            "Try a remedy all the same with remedies=[dropout]"
        )
        return None
    name, title = _experiment(patient)
    check_replaceable(name=name, comment=title, root=root)  # or it would be told after all the training
    base_seed = int(patient.settings["seed"])
    seeds = [base_seed + i for i in range(options.seeds)]
    again = [base_seed + RESEEDED + i for i in range(options.seeds)]
    chance = random_arms(patient.settings, count=num_draws(len(offered), options.seeds), seed=base_seed)
    trials = Trials(patient, options, root=root, run_sweep=run_sweep)
    print(f"{patient.name}: {len(offered)} arms, {cost(len(offered), options.seeds)} runs at most")
    as_it_was = Remedy(BASE, (), "nothing changed")
    base, *arms = trials.train("arms", [as_it_was, *offered], seeds)
    (reseeded,) = trials.train("reseed", [as_it_was], again)
    tried = trials.train("search", chance, seeds[:1])
    luckiest = min(range(len(chance)), key=lambda i: tried[i].losses[0])
    (random_best,) = trials.train("random", [chance[luckiest]], seeds)
    judged = judge(base, arms, symptom=patient.diagnosis.verdict)
    confirmed = [j for j in judged if j.verdict == CONFIRMED and j.improvement.value > 0]
    chosen = next(iter(sorted(confirmed, key=lambda j: (j.symptom > 0.5, -j.improvement.value))), None)
    claim = example = experiment = None
    if chosen is not None:
        claim = claimed(trials, arm=chosen.arm.name, random_arm=random_best.name, seeds=seeds, again=again)
        folders = (trials.folder("arms", chosen.arm.name, seed) for seed in seeds)
        example = next((f for f in folders if f is not None), None)  # a run or another may have diverged
        experiment = _export(patient, chosen, claim, root=root) if claim.remedy.low > 0 else None
    found = Verification(
        patient=patient,
        judged=tuple(judged),
        reseed=relative(log_gains(base.losses, reseeded.losses)),
        random=relative(log_gains(base.losses, random_best.losses)),
        chosen=chosen,
        claim=claim,
        experiment=experiment,
        example=example,
    )
    write(found, trials)
    return found


def planned(patient: Patient, options: Options) -> list[Remedy]:
    """The remedies to try: those named, else the diagnosis's first ones and one combination.

    Raises `ConfigError`, see `verify`.
    """
    if options.seeds < LEAST_SEEDS:
        raise ConfigError(
            f"seeds={options.seeds}: must be {LEAST_SEEDS} or more. One run against another says nothing about "
            "what a third would do; 5 is usual."
        )
    most = MOST_ARMS
    if options.budget is not None:
        most = max(
            (k for k in range(1, MOST_ARMS + 1) if cost(k, options.seeds) <= options.budget), default=0
        )
        if most < 1:
            raise ConfigError(
                f"budget={options.budget}: cannot decide anything. One remedy with both controls needs "
                f"{cost(1, options.seeds)} runs with seeds={options.seeds}."
            )
    if options.remedies:
        return _named(options.remedies, patient, most=most)
    verdict = patient.diagnosis.verdict
    if verdict in (HEALTHY, UNDETERMINED):
        return []
    listed = remedies(patient.diagnosis.findings, patient.settings).get(verdict, ())
    offered = [r for r in listed if r.name not in CHECKS]
    # What takes far longer is tried where nothing else is known, or where it is asked for by name.
    offered = [r for r in offered if r.cost <= MOST_COST] or offered
    if len(offered) > 1 and most >= 3:
        return [*offered[: most - 1], *combinations(offered)][:most]
    return offered[:most]


def _named(names: Sequence[str], patient: Patient, *, most: int) -> list[Remedy]:
    known = named(patient.settings)
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"remedies=[{','.join(names)}]: name {name} once; its runs would be the same.")
        if name not in known:
            raise ConfigError(
                f"remedies={name}: is unknown, in force already, or without effect in this configuration"
                f"{nearest(name, list(known))} There is: {', '.join(known)}."
            )
    if len(names) > most:
        raise ConfigError(
            f"remedies=[{','.join(names)}]: are {len(names)}; budget or habit allows {most}. Name fewer, or raise budget."
        )
    return [known[name] for name in names]


def _export(patient: Patient, chosen: Judged, claim: Claim, *, root: Path) -> Path:
    own = [o for o in patient.overrides if not o.startswith(("name=", "seed="))]
    name, title = _experiment(patient)
    proof = f"{chosen.arm.name}: test loss falls by {told(claim.remedy)} over {claim.remedy.n} paired seeds."
    overrides = merge(own, chosen.arm.overrides, root=root)
    return write_experiment(overrides, name=name, comment=f"{title}\n{proof}", root=root)


def _experiment(patient: Patient) -> tuple[str, str]:
    """Name and first line of what is written for a person to train."""
    return (
        f"{safe_name(patient.name)}_verified",
        f"The confirmed remedy of {patient.name}, written by pipeline verify.",
    )


@dataclass(frozen=True)
class Asked:
    """A command line, read. run: id of a run in MLflow, where that is given instead of a name."""

    name: str
    run: str | None
    options: Options
    others: Mapping[str, str]


def parse(overrides: Sequence[str], *, storage: str, extra: Sequence[str] = ()) -> Asked:
    """Return whose remedy, the options, and the values of further keys in ``extra``.

    storage: of the studies, where none is given.  Raises `ConfigError` for what is not known.
    """
    named: dict[str, str] = {}
    options, others = Options(storage=storage), {}
    sweep: list[str] = []
    for override in overrides:
        key, _, value = override.partition("=")
        if key in ("name", "run") and value:
            named[key] = value
        elif key == "remedies" and value:
            names = tuple(n.strip() for n in value.strip("[]").split(",") if n.strip())
            options = replace(options, remedies=names)
        elif key in ("seeds", "budget") and value.isdecimal():
            number = int(value)
            options = replace(options, seeds=number) if key == "seeds" else replace(options, budget=number)
        elif key == "storage" and value:
            options = replace(options, storage=value)
        elif key in extra and value:
            others[key] = value
        elif key in ("n_jobs", "hydra/launcher") or key.startswith("hydra."):
            sweep.append(override)
        else:
            raise ConfigError(
                f"{override}: known are name=, run=, remedies=[…], seeds=, budget=, storage=, n_jobs=, "
                f"hydra/launcher={''.join(f', {k}=' for k in extra)}; seeds and budget are whole numbers."
            )
    if len(named) > 1:
        raise ConfigError(f"run={named['run']}: give one of name= and run=, not both.")
    return Asked(named.get("name", "mlp"), named.get("run"), replace(options, sweep=tuple(sweep)), others)
