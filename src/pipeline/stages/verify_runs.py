"""The runs of a verification: trials of sweeps, one study for each part; and what the test set says of them.

They resume, run side by side and on clusters, and are tracked like all others. The arms stand as
experiments in ``conf/experiment/verify/<name>/``, to be trained again by hand.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.experiment import experiment_text, safe_name
from pipeline.config.overrides import merge
from pipeline.data.store import load_card, load_split
from pipeline.diagnosis import Diagnosis
from pipeline.diagnosis.remedies import Remedy, label
from pipeline.diagnosis.verify import (
    DIVERGED,
    Arm,
    log_gains,
    relative,
)
from pipeline.errors import SweepError
from pipeline.evaluation.scores import log_softmax
from pipeline.files import write_atomically
from pipeline.records import Estimate
from pipeline.sweep.analysis import FinishedTrial, StudyRecord, read_study

BASE = "as_it_was"
METRIC = "val/cross_entropy"
RunSweep = Callable[[Sequence[str]], Any]


@dataclass(frozen=True)
class Options:
    """What a person asks for.

    remedies: names; empty for what the diagnosis offers.  seeds: of every arm.  budget: runs in all, None for
    what four arms need.  storage: of the sweeps' studies.  sweep: overrides of the sweeps themselves
    (``n_jobs=2``, ``hydra/launcher=slurm``).
    """

    storage: str
    remedies: tuple[str, ...] = ()
    seeds: int = 5
    budget: int | None = None
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


class Trials:
    """The sweeps of one verification: one study for each part, found again by what it contains."""

    def __init__(self, patient: Patient, options: Options, *, root: Path, run_sweep: RunSweep) -> None:
        self.patient = patient
        self.options = options
        self.root = root
        self.run_sweep = run_sweep
        self.studies: dict[str, str] = {}
        self.records: dict[str, StudyRecord] = {}
        self.arms: dict[str, str] = {}  # name of an experiment → the arm that it is
        self.card = load_card(root / "data" / "processed" / patient.settings["data"]["name"])

    def train(self, part: str, arms: Sequence[Remedy], seeds: Sequence[int]) -> list[Arm]:
        """Train every arm with every seed, as far as that is not done; return the arms with their losses."""
        own = [o for o in self.patient.overrides if not o.startswith(("name=", "seed="))]
        overrides = {a.name: merge(own, a.overrides, root=self.root) for a in arms}
        key = json.dumps([overrides, list(seeds), dict(self.card.sha256)], sort_keys=True)
        digest = hashlib.sha256(key.encode()).hexdigest()[:8]
        study = f"verify_{safe_name(self.patient.name)}_{part}_{digest}"
        self.studies[part] = study
        options = [self._write_experiment(a.name, overrides[a.name]) for a in arms]
        self.arms |= dict(zip(options, (a.name for a in arms), strict=True))
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
        by_run = {_key(record, t): t for t in record.trials} if record else {}
        return [
            self._arm(arm, [by_run.get((option, s)) for s in seeds])
            for arm, option in zip(arms, options, strict=True)
        ]

    def arm_of(self, part: str, trial: FinishedTrial) -> tuple[str, int]:
        """The arm that a trial belongs to, and its seed."""
        option, seed = _key(self.records[part], trial)
        return self.arms[option], seed

    def _option(self, arm: str) -> str:
        """The name of an arm's experiment."""
        return f"verify/{safe_name(self.patient.name)}/{label(arm)}"

    def _write_experiment(self, arm: str, overrides: Sequence[str]) -> str:
        """Write an arm as an experiment; return its name."""
        name = f"{safe_name(self.patient.name)}_{label(arm)}"
        comment = f"{arm}, of the verification of {self.patient.name}."
        text = experiment_text(overrides, name=name, comment=comment, root=self.root)
        option = self._option(arm)
        write_atomically(self.root / "conf" / "experiment" / f"{option}.yaml", text.encode())
        return option

    def _arm(self, arm: Remedy, trials: Sequence[FinishedTrial | None]) -> Arm:
        guessing = self.card.class_prior_entropy
        done = [t if t is not None and t.state == "complete" else None for t in trials]
        losses = tuple(min(t.metrics[METRIC], guessing) if t else guessing for t in done)
        return Arm(arm.name, arm.overrides, losses, tuple((t.verdict or "") if t else DIVERGED for t in done))

    def folder(self, part: str, arm: str, seed: int) -> Path | None:
        """Where the run of an arm and a seed has written; None for one that diverged."""
        record = self.records.get(part)
        if record is None:
            return None
        wanted = (self._option(arm), seed)
        found = (t for t in record.trials if t.state == "complete" and _key(record, t) == wanted)
        trial = next(found, None)
        return self.root / record.folder / str(trial.number) if trial else None


def _key(record: StudyRecord, trial: FinishedTrial) -> tuple[str, int]:
    """Experiment and seed of a trial; one that has a single value is no parameter of the study."""
    fixed = dict(o.split("=", 1) for o in record.fixed if "=" in o)
    params = {**fixed, **trial.params}
    return str(params["experiment"]), int(params["seed"])


def claimed(
    trials: Trials, *, arm: str, random_arm: str, seeds: Sequence[int], again: Sequence[int]
) -> Claim:
    """Measure an arm and the controls on the test set, or return what was measured before.

    A claim is kept in ``results/<name>/claims.json`` as soon as it is made: whoever asks again, after other
    claims or a kill, does not read the test set again.
    """
    content = json.dumps([trials.studies, arm, dict(trials.card.sha256)], sort_keys=True)
    key = hashlib.sha256(content.encode()).hexdigest()
    path = trials.root / "results" / trials.patient.name / "claims.json"
    made = json.loads(path.read_text()) if path.is_file() else {}
    if key not in made:
        test = load_split(trials.root / "data" / "processed" / trials.card.name, "test")
        wanted = {
            "base": ("arms", BASE, seeds),
            "remedy": ("arms", arm, seeds),
            "reseed": ("reseed", BASE, again),
            "random": ("random", random_arm, seeds),
        }
        losses = {
            what: [_test_loss(trials, trials.folder(part, name, s), test) for s in of]
            for what, (part, name, of) in wanted.items()
        }
        gains = {k: relative(log_gains(losses["base"], losses[k])) for k in ("remedy", "reseed", "random")}
        made[key] = {k: asdict(gain) for k, gain in gains.items()}
        write_atomically(path, (json.dumps(made, indent=2) + "\n").encode())
    return Claim(arm=arm, **{k: Estimate(**gain) for k, gain in made[key].items()})


def _test_loss(trials: Trials, folder: Path | None, test: Any) -> float:
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
