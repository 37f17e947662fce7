"""The trials of a verification: one sweep for each part, so they resume and run side by side.

Every arm stands as an experiment in ``conf/experiment/verify/<name>/``, and can be trained by hand.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipeline.config.experiment import experiment_text, safe_name
from pipeline.config.overrides import merge
from pipeline.data.store import load_card
from pipeline.diagnosis.paired_trials import DIVERGED, Arm, counted_loss
from pipeline.diagnosis.proof import Verification
from pipeline.diagnosis.record import Remedy
from pipeline.diagnosis.remedies import file_label
from pipeline.errors import NoTrialCompleted
from pipeline.files import write_atomically
from pipeline.sweep import progress as sweep_progress
from pipeline.sweep.analysis import FinishedTrial, StudyRecord, read_study
from pipeline.sweep.trial import RUN_ID
from pipeline.verification.patient import Patient
from pipeline.verification.plan import VerificationOptions
from pipeline.verification.progress import RunProgress

ARMS, RESEED, SEARCH, RANDOM = "arms", "reseed", "search", "random"
AS_IT_WAS = Remedy("as_it_was", (), "nothing changed")
METRIC = "val/cross_entropy"
RunSweep = Callable[[Sequence[str]], Any]


class Trainer(Protocol):
    """Trains arms with seeds: `Trials`, or a stand-in with losses that are known already."""

    def train(self, part: str, arms: Sequence[Remedy], seeds: Sequence[int]) -> list[Arm]:
        """Return the arms with their losses, in the order of the seeds."""


def kind_of(part: str) -> str:
    """Return the kind of a part: ``arms`` for ``arms_2``, the second sweep over arms."""
    return part.partition("_")[0]


@dataclass(frozen=True)
class TrialRun:
    """One trained run.

    arm: name of its remedy.  tracked_run: its key in the record; None where it was not tracked.
    """

    part: str
    arm: str
    seed: int
    tracked_run: str | None

    @property
    def shown_arm(self) -> str:
        """The arm's name for people, which sets the controls apart from the remedies."""
        return shown_arm(self.part, self.arm)


def shown_arm(part: str, arm: str) -> str:
    """Return the name of an arm for people: ``control: draw 3`` for ``random_3`` of the search."""
    if part == RESEED:
        return "control: reseeded"
    if part == SEARCH:
        return f"control: draw {arm.rpartition('_')[2]}"
    return "control: random search" if part == RANDOM else arm


class Trials:
    """The sweeps of one verification. A study's name is a hash of its content, so trials resume.

    studies: part → name of its study.  records: part → its study, without a part in which every run
    diverged.
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
        self.studies: dict[str, str] = {}
        self.records: dict[str, StudyRecord] = {}
        self.card = load_card(root / "data" / "processed" / patient.settings["data"]["name"])
        self._arm_of_experiment: dict[str, str] = {}

    def train(self, part: str, arms: Sequence[Remedy], seeds: Sequence[int]) -> list[Arm]:
        """Train every arm with every seed; return the arms with their losses.

        Runs that an earlier start finished are not trained again.
        """
        own = self.patient.treatment_overrides
        overrides = {arm.name: merge(own, arm.overrides, root=self.root) for arm in arms}
        self.studies[part] = self._study_name(part, overrides, seeds)
        experiments = [self._write_experiment(name, changed) for name, changed in overrides.items()]
        self._arm_of_experiment |= dict(zip(experiments, overrides, strict=True))

        if self.options.early:  # its total is not known before
            cost = sum(arm.cost for arm in arms) * len(seeds)
            self.progress.expect(runs=len(arms) * len(seeds), cost=cost)
        self._follow(part, arms, seeds)
        try:
            with sweep_progress.watched_by(self.progress):
                self.run_sweep(self._sweep_overrides(part, experiments, seeds))
        except NoTrialCompleted:
            by_run = {}
        else:
            self.records[part] = read_study(self.options.storage, self.studies[part])
            by_run = {_key(self.records[part], t): t for t in self.records[part].trials}
        return [
            self._arm(arm, [by_run.get((experiment, seed)) for seed in seeds])
            for arm, experiment in zip(arms, experiments, strict=True)
        ]

    def folder(self, kind: str, arm: str, seed: int) -> Path | None:
        """Return the folder that the run of an arm and a seed wrote; None if the run diverged.

        kind: of the parts. The first seed of random search may be a draw of the search.
        """
        wanted = (self._experiment_name(arm), seed)
        kinds = (kind, SEARCH) if kind == RANDOM else (kind,)
        records = [r for part, r in self.records.items() if kind_of(part) in kinds]
        found = (f for r in records for key, f in _finished(r, self.root) if key == wanted)
        return next(found, None)

    def runs(self, part: str) -> Iterator[TrialRun]:
        """Yield every run of a part that ended."""
        record = self.records[part]
        for trial, frozen in zip(record.trials, record.frozen, strict=True):
            experiment, seed = _key(record, trial)
            arm = self._arm_of_experiment[experiment]
            yield TrialRun(kind_of(part), arm, seed, frozen.user_attrs.get(RUN_ID))

    def _study_name(
        self, part: str, overrides: Mapping[str, Sequence[str]], seeds: Sequence[int]
    ) -> str:
        content = json.dumps([overrides, list(seeds), dict(self.card.sha256)], sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:8]
        return f"verify_{safe_name(self.patient.name)}_{part}_{digest}"

    def _sweep_overrides(
        self, part: str, experiments: Sequence[str], seeds: Sequence[int]
    ) -> list[str]:
        tracking = [
            o for o in self.patient.treatment_overrides if o.startswith(("tracking.", "tracking="))
        ]
        # One run alone is a sweep too, and a sweep needs a parameter.
        alone = len(experiments) == len(seeds) == 1
        swept = f"choice({seeds[0]})" if alone else ",".join(map(str, seeds))
        return [
            f"experiment={','.join(experiments)}",
            f"seed={swept}",
            f"objective={METRIC}",
            "hydra.sweeper.max_failure_rate=1.0",
            f"study_name={self.studies[part]}",
            f"storage={self.options.storage}",
            *tracking,
            *self.options.sweep,
        ]

    def _follow(self, part: str, arms: Sequence[Remedy], seeds: Sequence[int]) -> None:
        """Tell the progress which arm and seed a trial of this part is, and how long it takes."""
        by_experiment = {self._experiment_name(arm.name): arm for arm in arms}

        def remedy(trial: FinishedTrial) -> Remedy:
            # A single value is no parameter of the study.
            experiment = trial.params.get("experiment", next(iter(by_experiment)))
            return by_experiment[str(experiment)]

        def label_of(trial: FinishedTrial) -> str:
            seed = trial.params.get("seed", seeds[0])
            return f"{shown_arm(kind_of(part), remedy(trial).name)}, seed {seed}"

        self.progress.follow(
            self.studies[part], label_of=label_of, cost_of=lambda trial: remedy(trial).cost
        )

    def _experiment_name(self, arm: str) -> str:
        return _experiment_name(self.patient.name, arm)

    def _write_experiment(self, arm: str, overrides: Sequence[str]) -> str:
        """Write an arm as an experiment; return the experiment's name."""
        name = f"{safe_name(self.patient.name)}_{file_label(arm)}"
        comment = f"{arm}, of the verification of {self.patient.name}."
        text = experiment_text(overrides, name=name, comment=comment, root=self.root)
        experiment = self._experiment_name(arm)
        write_atomically(self.root / "conf" / "experiment" / f"{experiment}.yaml", text.encode())
        return experiment

    def _arm(self, arm: Remedy, trials: Sequence[FinishedTrial | None]) -> Arm:
        guessing = self.card.class_prior_entropy
        complete = [t if t is not None and t.state == "complete" else None for t in trials]
        return Arm(
            name=arm.name,
            overrides=arm.overrides,
            losses=tuple(
                counted_loss(t.metrics[METRIC] if t else None, guessing=guessing) for t in complete
            ),
            verdicts=tuple((t.verdict or "") if t else DIVERGED for t in complete),
        )


def first_finished_run(verification: Verification, *, storage: str, root: Path) -> Path:
    """Return the folder of the chosen arm's run with the lowest seed that left a model."""
    assert verification.chosen is not None
    experiment = _experiment_name(verification.name, verification.chosen.name)
    studies = [each for part, each in verification.studies.items() if kind_of(part) == ARMS]
    finished = (f for each in studies for f in _finished(read_study(storage, each), root))
    return min((seed, folder) for (name, seed), folder in finished if name == experiment)[1]


def _experiment_name(patient: str, arm: str) -> str:
    return f"verify/{safe_name(patient)}/{file_label(arm)}"


def _finished(record: StudyRecord, root: Path) -> Iterator[tuple[tuple[str, int], Path]]:
    """Yield experiment and seed, and the folder, of every run that left a model."""
    for trial in record.trials:
        if trial.state == "complete":
            yield _key(record, trial), root / record.folder / str(trial.number)


def _key(record: StudyRecord, trial: FinishedTrial) -> tuple[str, int]:
    """Return experiment and seed of a trial; a single value is no parameter of the study."""
    fixed = dict(o.split("=", 1) for o in record.fixed if "=" in o)
    params = {**fixed, **trial.params}
    return str(params["experiment"]), int(params["seed"])
