"""The stage ``verify``: trains a run's remedies over paired seeds beside two controls, and judges them.

The runs are trials of sweeps: they resume, run side by side and on clusters, and are tracked like all
others. The arms stand as experiments in ``conf/experiment/verify/<name>/``, to be trained again by hand.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import nearest
from pipeline.config.experiment import experiment_text, safe_name, write_experiment
from pipeline.config.overrides import merge, overrides_of
from pipeline.data.store import load_card, load_split
from pipeline.diagnosis import Diagnosis, History, diagnose
from pipeline.diagnosis.remedies import CHECKS, Remedy, named, remedies
from pipeline.diagnosis.verdict import HEALTHY, UNDETERMINED
from pipeline.diagnosis.verify import (
    CONFIRMED,
    LEAST_SEEDS,
    Arm,
    Judged,
    as_json,
    combinations,
    judge,
    log_gains,
    random_arms,
    relative,
)
from pipeline.errors import ConfigError, DataError, SweepError
from pipeline.evaluation.scores import log_softmax
from pipeline.files import write_atomically
from pipeline.records import Estimate
from pipeline.reporting import forest
from pipeline.reporting.style import save_png
from pipeline.stages.diagnose import VERDICT, read_own
from pipeline.stages.sweep import KIND
from pipeline.sweep.analysis import FinishedTrial, StudyRecord, read_study
from pipeline.tracking import Tracker

BASE = "as_it_was"
METRIC = "val/cross_entropy"
RESEEDED = 1000
MOST_ARMS = 4
MOST_COST = 12.0
RunSweep = Callable[[Sequence[str]], Any]


@dataclass(frozen=True)
class Options:
    """What a person asks for.

    remedies: names; empty for what the diagnosis offers.  seeds: of every arm.  budget: runs in all, None for
    what four arms need.  sweep: overrides of the sweep itself (``n_jobs=2``, ``hydra/launcher=slurm``).
    """

    remedies: tuple[str, ...] = ()
    seeds: int = 5
    budget: int | None = None
    storage: str = "sqlite:///optuna.db"
    sweep: tuple[str, ...] = ()


@dataclass(frozen=True)
class Patient:
    """A run to be mended. name: of its results.  overrides: that give its configuration."""

    name: str
    overrides: tuple[str, ...]
    settings: Mapping[str, Any]
    diagnosis: Diagnosis


@dataclass(frozen=True)
class Claim:
    """What the untouched test set says, once: relative falls of the loss against the configuration as it was."""

    arm: str
    remedy: Estimate
    reseed: Estimate
    random: Estimate


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


def patient_of(name: str, *, root: Path) -> Patient:
    """Return a trained run and its diagnosis.

    Raises `DataError` where the run has no history, or no model and so no configuration.
    """
    history, told = read_own(name, root=root)
    if not told:
        raise DataError(
            f"models/{name}/model.json: missing, so the configuration of {name} is not known. A run that "
            f"diverged leaves none: name its configuration with a lower learning rate, or train it again: "
            f"pipeline train name={name}"
        )
    settings = told["settings"]
    return Patient(name, tuple(overrides_of(settings, root=root)), settings, diagnose(history))


def verify(patient: Patient, options: Options, *, root: Path, run_sweep: RunSweep) -> Verification | None:
    """Train and judge; write ``results/<name>/verification.json`` and ``.png``. None where nothing is to be done.

    Raises `ConfigError` for remedies that are unknown or without effect, too few seeds or runs.
    """
    offered = planned(patient, options)
    if not offered:
        print(
            f"{patient.name}: {patient.diagnosis.verdict.replace('_', ' ')}; there is nothing to verify. "
            "Try a remedy all the same with remedies=[dropout]"
        )
        return None
    base_seed = int(patient.settings["seed"])
    seeds = [base_seed + i for i in range(options.seeds)]
    again = [base_seed + RESEEDED + i for i in range(options.seeds)]
    chance = random_arms(patient.settings, count=_draws(len(offered), options.seeds), seed=base_seed)
    trials = _Trials(patient, options, root=root, run_sweep=run_sweep)
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
        claim = _claim(trials, base, reseeded, random_best, chosen)
        example = trials.folder("arms", chosen.arm.name, seeds[0])
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
    _write(found, trials, root=root)
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


def cost(arms: int, seeds: int) -> int:
    """How many runs a verification trains: base, arms, reseed, random draws, and the best of these over seeds."""
    return (arms + 3) * seeds + _draws(arms, seeds)


def _draws(arms: int, seeds: int) -> int:
    """So many that random search, with the paired runs of its best, costs what the arms do."""
    return max(2, (arms - 1) * seeds)


class _Trials:
    """The sweeps of one verification: one study for each part, found again by what it contains."""

    def __init__(self, patient: Patient, options: Options, *, root: Path, run_sweep: RunSweep) -> None:
        self.patient = patient
        self.options = options
        self.root = root
        self.run_sweep = run_sweep
        self.studies: dict[str, str] = {}
        self.records: dict[str, StudyRecord] = {}
        self.card = load_card(root / "data" / "processed" / patient.settings["data"]["name"])

    def train(self, part: str, arms: Sequence[Remedy], seeds: Sequence[int]) -> list[Arm]:
        """Train every arm with every seed, as far as that is not done; return the arms with their losses."""
        own = [o for o in self.patient.overrides if not o.startswith(("name=", "seed="))]
        overrides = {a.name: merge(own, a.overrides, root=self.root) for a in arms}
        key = json.dumps([overrides, list(seeds), dict(self.card.sha256)], sort_keys=True)
        digest = hashlib.sha256(key.encode()).hexdigest()[:8]
        study = f"verify_{safe_name(self.patient.name)}_{part}_{digest}"
        self.studies[part] = study
        options = [self._option(a.name, overrides[a.name]) for a in arms]
        fixed = [o for o in own if o.startswith(("tracking.", "tracking="))]
        try:
            self.run_sweep(
                [
                    f"experiment={','.join(options)}",
                    f"seed={','.join(map(str, seeds))}",
                    f"objective={METRIC}",
                    "hydra.sweeper.max_failure_rate=1.0",
                    f"study_name={study}",
                    f"storage={self.options.storage}",
                    *fixed,
                    *self.options.sweep,
                ]
            )
        except SweepError as error:
            if "no trial was completed" not in str(error):
                raise
            record = None
        else:
            record = read_study(self.options.storage, study)
            self.records[part] = record
        by_run = {self._key(t): t for t in record.trials} if record else {}
        return [
            self._arm(arm, [by_run.get((option, s)) for s in seeds])
            for arm, option in zip(arms, options, strict=True)
        ]

    def _key(self, trial: FinishedTrial) -> tuple[str, int]:
        record = next(r for r in self.records.values() if trial in r.trials)
        fixed = dict(o.split("=", 1) for o in record.fixed if "=" in o)
        params = {**fixed, **trial.params}
        return str(params["experiment"]), int(params["seed"])

    def _option(self, arm: str, overrides: Sequence[str]) -> str:
        """Write an arm as an experiment; return its name."""
        label = safe_name(arm.replace("+", "_and_").replace("/", "_over_").replace("*", "_times_"))
        name = f"{safe_name(self.patient.name)}_{label}"
        text = experiment_text(
            overrides,
            name=name,
            comment=f"{arm}, of the verification of {self.patient.name}.",
            root=self.root,
        )
        path = self.root / "conf" / "experiment" / "verify" / safe_name(self.patient.name) / f"{label}.yaml"
        write_atomically(path, text.encode())
        return f"verify/{safe_name(self.patient.name)}/{label}"

    def _arm(self, arm: Remedy, trials: Sequence[FinishedTrial | None]) -> Arm:
        guessing = self.card.class_prior_entropy
        done = [t if t is not None and t.state == "complete" else None for t in trials]
        losses = tuple(min(t.metrics[METRIC], guessing) if t else guessing for t in done)
        return Arm(
            arm.name, arm.overrides, losses, tuple((t.verdict or "") if t else "diverged" for t in done)
        )

    def folder(self, part: str, arm: str, seed: int) -> Path | None:
        """Where the run of an arm and a seed has written; None for one that diverged."""
        label = safe_name(arm.replace("+", "_and_").replace("/", "_over_").replace("*", "_times_"))
        option = f"verify/{safe_name(self.patient.name)}/{label}"
        record = self.records.get(part)
        for trial in record.trials if record else ():
            if self._key(trial) == (option, seed) and trial.state == "complete":
                assert record is not None
                return self.root / record.folder / str(trial.number)
        return None


# --- the claim on the test set ----------------------------------------------------------------------


def _claim(trials: _Trials, base: Arm, reseeded: Arm, random_best: Arm, chosen: Judged) -> Claim:
    """Measure the chosen arm and the controls on the test set, or return what was measured before."""
    patient, root = trials.patient, trials.root
    key = hashlib.sha256(
        json.dumps([trials.studies, chosen.arm.name, dict(trials.card.sha256)], sort_keys=True).encode()
    ).hexdigest()
    path = root / "results" / patient.name / "verification.json"
    before = json.loads(path.read_text()).get("claim") if path.is_file() else None
    if before and before["key"] == key:
        told = {k: Estimate(**before[k]) for k in ("remedy", "reseed", "random")}
        return Claim(arm=chosen.arm.name, **told)
    seeds = [int(patient.settings["seed"]) + i for i in range(trials.options.seeds)]
    again = [s + RESEEDED for s in seeds]
    test = load_split(root / "data" / "processed" / trials.card.name, "test")
    wanted = {
        "base": ("arms", BASE, seeds),
        "remedy": ("arms", chosen.arm.name, seeds),
        "reseed": ("reseed", BASE, again),
        "random": ("random", random_best.name, seeds),
    }
    losses = {
        what: [_test_loss(trials, trials.folder(part, arm, s), test) for s in of]
        for what, (part, arm, of) in wanted.items()
    }
    gains = {k: relative(log_gains(losses["base"], losses[k])) for k in ("remedy", "reseed", "random")}
    return Claim(arm=chosen.arm.name, **gains)


def _test_loss(trials: _Trials, folder: Path | None, test: Any) -> float:
    from pipeline.models.inference import predict_logits
    from pipeline.models.saved import load_model

    guessing = trials.card.class_prior_entropy
    if folder is None:
        return guessing
    model = load_model(next((folder / "models").iterdir()))
    logits = predict_logits(model.network, test.images, mean=model.mean, std=model.std)
    logs = log_softmax(logits.astype(np.float64))
    loss = -float(logs[np.arange(len(test)), test.labels].mean())
    return min(loss, guessing) if math.isfinite(loss) else guessing


# --- what is left behind -------------------------------------------------------------------------------


def _export(patient: Patient, chosen: Judged, claim: Claim, *, root: Path) -> Path:
    own = [o for o in patient.overrides if not o.startswith(("name=", "seed="))]
    name = f"{safe_name(patient.name)}_verified"
    comment = (
        f"The confirmed remedy of {patient.name}, written by pipeline verify.\n"
        f"{chosen.arm.name}: test loss falls by {told(claim.remedy)} over {claim.remedy.n} paired seeds."
    )
    return write_experiment(
        merge(own, chosen.arm.overrides, root=root), name=name, comment=comment, root=root
    )


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


def _write(found: Verification, trials: _Trials, *, root: Path) -> None:
    folder = root / "results" / found.patient.name
    claim = found.claim
    key = hashlib.sha256(
        json.dumps(
            [trials.studies, found.chosen.arm.name if found.chosen else "", dict(trials.card.sha256)],
            sort_keys=True,
        ).encode()
    ).hexdigest()
    values = {
        "name": found.patient.name,
        "symptom": found.patient.diagnosis.verdict,
        "sentence": sentence(found),
        "arms": [as_json(j) for j in found.judged],
        "reseed": _plain(found.reseed),
        "random": _plain(found.random),
        "claim": None
        if claim is None
        else {
            "key": key,
            "arm": claim.arm,
            **{k: _plain(getattr(claim, k)) for k in ("remedy", "reseed", "random")},
        },
        "experiment": found.experiment.stem if found.experiment else None,
        "studies": trials.studies,
    }
    files = [folder / "verification.json", folder / "verification.png"]
    save_png(forest.plot(_rows(found), title=f"{found.patient.name}: fall of the validation loss"), files[1])
    write_atomically(files[0], (json.dumps(values, indent=2) + "\n").encode())
    _record(found, values, files, trials, root=root)


def _rows(found: Verification) -> list[forest.Row]:
    rows = [forest.Row(j.arm.name, j.improvement, j.verdict) for j in found.judged]
    rows.append(forest.Row("control: reseeded", found.reseed, "control"))
    rows.append(forest.Row("control: random search", found.random, "control"))
    return rows


def _plain(e: Estimate) -> dict[str, float]:
    return {"value": e.value, "low": e.low, "high": e.high, "n": e.n, "level": e.level}


def _record(
    found: Verification, values: Mapping[str, Any], files: Sequence[Path], trials: _Trials, *, root: Path
) -> None:
    """The verification as a run whose children are its studies, whose children are their runs."""
    tracking = found.patient.settings["tracking"]
    if not tracking["enabled"]:
        return
    tracker = Tracker(tracking["uri"], experiment=tracking["experiment"], root=root)
    tags = {
        KIND: "verification",
        "verify.model": found.patient.name,
        "verify.studies": trials.studies["arms"],
    }
    known = tracker.find_tagged(tags)
    run = tracker.start(f"verify {found.patient.name}", tags=tags, resume_id=known)
    run.set_tags({VERDICT: found.patient.diagnosis.verdict, "verify.sentence": values["sentence"]})
    run.log_metrics(
        {f"improvement/{_metric_name(j.arm.name)}": j.improvement.value for j in found.judged}
        | {"improvement/reseed": found.reseed.value, "improvement/random": found.random.value}
    )
    run.log_files(files)
    for part, record in trials.records.items():
        if record.parent_run:
            tracker.reopen(record.parent_run).set_tags(
                {"mlflow.parentRunId": run.run_id, "verify.part": part}
            )
    run.finish()


def _metric_name(arm: str) -> str:
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in arm)


# --- the command -------------------------------------------------------------------------------------


def parse(overrides: Sequence[str], *, extra: Sequence[str] = ()) -> tuple[str, Options, dict[str, str]]:
    """Return the model's name, the options, and the values of further keys in ``extra``."""
    name, options, others = "mlp", Options(), {}
    sweep: list[str] = []
    for override in overrides:
        key, _, value = override.partition("=")
        if key == "name" and value:
            name = value
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
                f"{override}: known are name=, remedies=[…], seeds=, budget=, storage=, n_jobs=, hydra/launcher="
                f"{''.join(f', {k}=' for k in extra)}; seeds and budget are whole numbers."
            )
    return name, replace(options, sweep=tuple(sweep)), others


def tell(found: Verification, *, root: Path) -> None:
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


def history_at(folder: Path, *, root: Path) -> tuple[History, Mapping[str, Any]]:
    """History and description of a run that wrote into its own output folder."""
    name = next((folder / "models").iterdir()).name
    return read_own(name, root=root, output=folder)
