"""The trials of a verification: sweeps of what is missing, so they resume and run side by side.

Every arm stands as an experiment in ``conf/experiment/verify/<name>/``, and can be trained by hand.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from pipeline.config import compose
from pipeline.config.experiment import experiment_text, safe_name
from pipeline.config.overrides import merge
from pipeline.data.store import load_card
from pipeline.diagnosis.paired_trials import DIVERGED, Arm, Judged, counted_loss
from pipeline.diagnosis.record import Remedy
from pipeline.diagnosis.remedies import file_label
from pipeline.errors import NoTrialCompleted, SweepError
from pipeline.files import write_atomically
from pipeline.sweep import noted
from pipeline.sweep import progress as sweep_progress
from pipeline.sweep.analysis import FinishedTrial
from pipeline.verification.known import FinishedRun, KnownRuns, content_of, note_of, open_runs
from pipeline.verification.parts import kind_of, shown_arm, shown_runs
from pipeline.verification.patient import Patient
from pipeline.verification.plan import VerificationOptions
from pipeline.verification.progress import RunProgress
from pipeline.verification.used import UsedRuns

METRIC = "val/cross_entropy"
RunSweep = Callable[[Sequence[str]], Any]


class Trainer(Protocol):
    """Trains arms with seeds: `Trials`, or a stand-in with losses that are known already."""

    def train(self, part: str, arms: Sequence[Remedy], seeds: Sequence[int]) -> list[Arm]:
        """Return the arms with their losses, in the order of the seeds."""


class Trials:
    """The runs of one verification. Finished ones are found again, and only the rest is trained.

    used: all runs so far.  asked: part → hash of what it asked for, whichever studies have it.
    """

    def __init__(
        self,
        patient: Patient,
        options: VerificationOptions,
        *,
        root: Path,
        run_sweep: RunSweep,
        progress: RunProgress,
    ) -> None:
        self.patient = patient
        self.options = options
        self.root = root
        self.run_sweep = run_sweep
        self.progress = progress
        self.used = UsedRuns()
        self.asked: dict[str, str] = {}
        self.card = load_card(root / "data" / "processed" / patient.settings["data"]["name"])
        self.known = _known_runs(patient, storage=options.storage, root=root)
        self._contents: dict[str, str] = {}  # arm → content
        self._written: set[str] = set()  # arms

    def train(self, part: str, arms: Sequence[Remedy], seeds: Sequence[int]) -> list[Arm]:
        """Train every arm with every seed; return the arms with their losses.

        Runs that an earlier call or start has finished are not trained again.
        Raises `SweepError` for a run that failed for another reason than its loss.
        """
        for arm in arms:
            self._write_experiment(arm)
        contents = {arm.name: self._content(arm) for arm in arms}
        self.asked[part] = _digest([self.patient.name, contents, list(seeds)])
        if self.options.early:  # its total is that of this step
            cost = sum(arm.cost for arm in arms) * len(seeds)
            self.progress.expect(runs=len(arms) * len(seeds), cost=cost)
        known = self.count_known(arms, seeds)
        if self.options.early:
            self.progress.say_step(known)

        own = self._continued(part, arms, seeds)
        for missing, of in self._missing(arms, seeds, own=own):
            own.append(self._trained_anew(part, of, missing))
        for arm in arms:
            for seed in seeds:
                run = self.known.find(contents[arm.name], seed, own=own)
                if run is not None:
                    _refuse_failure(run, f"{shown_arm(kind_of(part), arm.name)}, seed {seed}")
                    self.used.add(part, arm.name, seed, run)
        return [
            self._as_arm(arm, [self.used.of(part, arm.name, seed) for seed in seeds])
            for arm in arms
        ]

    def count_known(self, arms: Sequence[Remedy], seeds: Sequence[int]) -> int:
        """Count the runs that are finished already, in the progress too; return their number."""
        number = 0
        for arm in arms:
            content = self._content(arm)
            for seed in seeds:
                run = self.known.find(content, seed)
                if run is not None:
                    number += 1
                    self.progress.known((content, seed), cost=arm.cost, seconds=run.trial.seconds)
        return number

    def known_arms(self, arms: Sequence[Remedy], seeds: Sequence[int]) -> list[Arm] | None:
        """Return the arms with their losses where every run is finished already, else None."""
        found = [[self.known.find(self._content(arm), seed) for seed in seeds] for arm in arms]
        if any(run is None for runs in found for run in runs):
            return None
        return [self._as_arm(arm, runs) for arm, runs in zip(arms, found, strict=True)]

    def _content(self, arm: Remedy) -> str:
        if arm.name not in self._contents:
            values = compose(self._overrides(arm), root=self.root).values
            self._contents[arm.name] = content_of(values, self.card, root=self.root)
        return self._contents[arm.name]

    def _continued(self, part: str, arms: Sequence[Remedy], seeds: Sequence[int]) -> list[str]:
        """Continue the sweeps that were interrupted, where all that they lack is wanted here."""
        by_experiment = {self._experiment_name(arm.name): arm for arm in arms}
        contents = {name: self._content(arm) for name, arm in by_experiment.items()}
        wanted = {(content, seed) for content in contents.values() for seed in seeds}
        done: list[str] = []
        for study in list(self.known.to_continue(contents, fixed=self._fixed())):
            missing = {key for key in wanted if self.known.find(*key) is None}
            began = {(c, s) for c in study.note["arms"].values() for s in study.note["seeds"]}
            if began & wanted and open_runs(study) <= missing:
                of = [by_experiment[name] for name in study.note["arms"]]
                self._sweep(part, study.name, of, study.note["seeds"])
                done.append(study.name)
        return done

    def _missing(
        self, arms: Sequence[Remedy], seeds: Sequence[int], *, own: Sequence[str]
    ) -> list[tuple[tuple[int, ...], list[Remedy]]]:
        """Return the arms that lack the same seeds together, with these seeds."""
        groups: dict[tuple[int, ...], list[Remedy]] = {}
        for arm in arms:
            content = self._content(arm)
            lacking = tuple(s for s in seeds if self.known.find(content, s, own=own) is None)
            groups.setdefault(lacking, []).append(arm)
        return [(lacking, of) for lacking, of in groups.items() if lacking]

    def _trained_anew(self, part: str, arms: Sequence[Remedy], seeds: Sequence[int]) -> str:
        """Train arms with seeds in a study of their own; return its name."""
        note = self._note(arms, seeds)
        # A study that came to its end without these runs stays as it is.
        names = (f"{self.known.prefix}{part}_{_digest([note, i])[:8]}" for i in count())
        known = self.known.studies
        study = next(n for n in names if n not in known or not known[n].ended)
        self._sweep(part, study, arms, seeds)
        return study

    def _sweep(self, part: str, study: str, arms: Sequence[Remedy], seeds: Sequence[int]) -> None:
        self._follow(part, study, arms, seeds)
        overrides = self._sweep_overrides(study, arms, seeds)
        with (
            contextlib.suppress(NoTrialCompleted),
            noted.noting(self._note(arms, seeds), title=self._title(part, arms, seeds)),
            sweep_progress.watched_by(self.progress),
        ):
            self.run_sweep(overrides)
        self.known.read()

    def _title(self, part: str, arms: Sequence[Remedy], seeds: Sequence[int]) -> str:
        """Return the name of a study in MLflow."""
        return f"verify {self.patient.name}: {shown_runs(part, [a.name for a in arms], seeds)}"

    def _note(self, arms: Sequence[Remedy], seeds: Sequence[int]) -> dict[str, Any]:
        contents = {self._experiment_name(arm.name): self._content(arm) for arm in arms}
        return note_of(self.patient.name, contents, seeds, fixed=self._fixed())

    def _fixed(self) -> list[str]:
        """Return the overrides of every sweep that are part of its study."""
        own = self.patient.treatment_overrides
        return [
            f"objective={METRIC}",
            *(o for o in own if o.startswith(("tracking.", "tracking="))),
        ]

    def _sweep_overrides(
        self, study: str, arms: Sequence[Remedy], seeds: Sequence[int]
    ) -> list[str]:
        # One run alone is a sweep too, and a sweep needs a parameter.
        alone = len(arms) == len(seeds) == 1
        swept = f"choice({seeds[0]})" if alone else ",".join(map(str, seeds))
        return [
            f"experiment={','.join(self._experiment_name(arm.name) for arm in arms)}",
            f"seed={swept}",
            "hydra.sweeper.max_failure_rate=1.0",
            f"study_name={study}",
            f"storage={self.options.storage}",
            *self._fixed(),
            *self.options.sweep,
        ]

    def _follow(self, part: str, study: str, arms: Sequence[Remedy], seeds: Sequence[int]) -> None:
        """Tell the progress which arm and seed a trial of a study is, and how long it takes."""
        by_experiment = {self._experiment_name(arm.name): arm for arm in arms}

        def remedy(trial: FinishedTrial) -> Remedy:
            # A single value is no parameter of the study.
            experiment = trial.params.get("experiment", next(iter(by_experiment)))
            return by_experiment[str(experiment)]

        def label_of(trial: FinishedTrial) -> str:
            seed = trial.params.get("seed", seeds[0])
            return f"{shown_arm(kind_of(part), remedy(trial).name)}, seed {seed}"

        begun = self.known.studies.get(study)
        self.progress.follow(
            study,
            label_of=label_of,
            cost_of=lambda trial: remedy(trial).cost,
            seen={trial.number for trial, _ in begun.trials} if begun else set(),
        )

    def _experiment_name(self, arm: str) -> str:
        return _experiment_name(self.patient.name, arm)

    def _overrides(self, arm: Remedy) -> list[str]:
        return merge(self.patient.treatment_overrides, arm.overrides, root=self.root)

    def _write_experiment(self, arm: Remedy) -> None:
        if arm.name in self._written:
            return
        name = f"{safe_name(self.patient.name)}_{file_label(arm.name)}"
        comment = f"{arm.name}, of the verification of {self.patient.name}."
        text = experiment_text(self._overrides(arm), name=name, comment=comment, root=self.root)
        experiment = self._experiment_name(arm.name)
        write_atomically(self.root / "conf" / "experiment" / f"{experiment}.yaml", text.encode())
        self._written.add(arm.name)

    def _as_arm(self, arm: Remedy, runs: Sequence[FinishedRun | None]) -> Arm:
        guessing = self.card.class_prior_entropy
        trials = [run.trial if run and run.complete else None for run in runs]
        return Arm(
            name=arm.name,
            overrides=arm.overrides,
            losses=tuple(
                counted_loss(t.metrics[METRIC] if t else None, guessing=guessing) for t in trials
            ),
            verdicts=tuple((t.verdict or "") if t else DIVERGED for t in trials),
        )


def first_finished_run(patient: Patient, chosen: Judged, *, storage: str, root: Path) -> Path:
    """Return the folder of an arm's run with the lowest seed that left a model."""
    overrides = merge(patient.treatment_overrides, chosen.overrides, root=root)
    card = load_card(root / "data" / "processed" / patient.settings["data"]["name"])
    content = content_of(compose(overrides, root=root).values, card, root=root)
    known = _known_runs(patient, storage=storage, root=root)
    found = (known.find(content, patient.seed + i) for i in range(len(chosen.val_losses)))
    return next(run.folder for run in found if run is not None and run.complete)


def _known_runs(patient: Patient, *, storage: str, root: Path) -> KnownRuns:
    return KnownRuns(patient.name, earlier=patient.earlier, storage=storage, root=root)


def _refuse_failure(run: FinishedRun, shown: str) -> None:
    """Raise `SweepError` for a run without a loss: it says nothing about a remedy."""
    if not run.complete and not run.diverged:
        raise SweepError(
            f"{shown} failed: {run.trial.failure}. Such a run cannot be judged. Mend its cause, or "
            "leave this remedy out with remedies=[…]. The same command trains only what is missing."
        )


def _experiment_name(patient: str, arm: str) -> str:
    return f"verify/{safe_name(patient)}/{file_label(arm)}"


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
