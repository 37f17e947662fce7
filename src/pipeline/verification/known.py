"""The finished runs of a patient, of whichever call, found by what decides them.

That is the content of the arm (with the data and the start of the weights) and the seed. Each
study of a verification carries a note of its arms' contents, so a later call with other remedies,
seeds or another order finds them. Only a run that left a model, or whose loss was not finite, can
be found: one that failed for another reason may succeed the next time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.config.experiment import safe_name
from pipeline.records import DataCard
from pipeline.runs.provenance import resume_key
from pipeline.sweep.analysis import FinishedTrial
from pipeline.sweep.noted import NotedStudy, noted_studies

_DIVERGED = "Diverged:"  # begins the reason of a failure, see `pipeline.training.fit.Diverged`
_NOT_FINITE = "which is not finite"  # ends that of an objective, see `pipeline.sweep.outcome`


@dataclass(frozen=True)
class FinishedRun:
    """One run that ended.

    study: that trained it.  tracked_run: its key in the record; None where it was not tracked.
    folder: that it wrote into.
    """

    study: NotedStudy
    trial: FinishedTrial
    tracked_run: str | None
    folder: Path

    @property
    def complete(self) -> bool:
        """Whether it left a model."""
        return self.trial.state == "complete"

    @property
    def diverged(self) -> bool:
        """Whether it left no model since its loss was not finite."""
        reason = self.trial.failure or ""
        return reason.startswith(_DIVERGED) or reason.endswith(_NOT_FINITE)

    @property
    def reusable(self) -> bool:
        """Whether training it again would give the same."""
        if self.complete:
            return any(self.folder.glob("models/*/model.safetensors"))
        return self.diverged


def content_of(values: Mapping[str, Any], card: DataCard, *, root: Path) -> str:
    """Return a hash of all that decides the training of an arm, but for the seed."""
    return resume_key({**values, "seed": None}, card, root=root)


def note_of(
    patient: str, arms: Mapping[str, str], seeds: Sequence[int], *, fixed: Sequence[str]
) -> dict[str, Any]:
    """Return the note of a study.

    arms: experiment → content.  fixed: overrides that all of its runs share.
    """
    return {"patient": patient, "arms": dict(arms), "seeds": list(seeds), "fixed": list(fixed)}


class KnownRuns:
    """The studies of one patient in a storage, and their finished runs.

    earlier: the patients of a healing's earlier rounds. Their runs serve too, but stay theirs in
    the record.  studies: of the patient itself, name → study, as `read` found it.
    """

    def __init__(
        self, patient: str, *, earlier: Sequence[str] = (), storage: str, root: Path
    ) -> None:
        self.patient = patient
        self.earlier = earlier
        self.storage = storage
        self.root = root
        self.studies: dict[str, NotedStudy] = {}
        self._runs: dict[tuple[str, int], list[FinishedRun]] = {}
        self.read()

    @property
    def prefix(self) -> str:
        """The begin of the studies' names."""
        return _prefix(self.patient)

    def read(self) -> None:
        """Read the studies again."""
        own, *lent = (self._studies_of(patient) for patient in (self.patient, *self.earlier))
        self.studies = {study.name: study for study in own}
        self._runs = {}
        for study in [*own, *(_untracked(study) for each in lent for study in each)]:
            for key, run in _runs_of(study, self.root):
                self._runs.setdefault(key, []).append(run)

    def _studies_of(self, patient: str) -> list[NotedStudy]:
        found = noted_studies(self.storage, prefix=_prefix(patient))
        return [study for study in found if study.note.get("patient") == patient]

    def find(self, content: str, seed: int, *, own: Sequence[str] = ()) -> FinishedRun | None:
        """Return the finished run of an arm and a seed; None where it has to be trained.

        own: studies of this call, of which every failure counts.
        """
        runs = self._runs.get((content, seed), [])
        found = [run for run in runs if run.reusable]
        found += [run for run in runs if run.study.name in own and not run.complete]
        return min(found, key=lambda run: not run.complete, default=None)

    def to_continue(self, arms: Mapping[str, str], *, fixed: Sequence[str]) -> Iterator[NotedStudy]:
        """Yield the studies that did not come to their end, and whose arms are all among these.

        arms, fixed: as in `note_of`.
        """
        for study in self.studies.values():
            same = study.note["fixed"] == list(fixed) and study.note["arms"].items() <= arms.items()
            if same and not study.ended:
                yield study


def open_runs(study: NotedStudy) -> set[tuple[str, int]]:
    """Return content and seed of the runs that a study has still to train."""
    arms, seeds = study.note["arms"].values(), study.note["seeds"]
    ended = (_key(study, trial) for trial, _ in study.trials)
    return {(content, seed) for content in arms for seed in seeds} - set(ended)


def experiment_of(study: NotedStudy, trial: FinishedTrial) -> str:
    """Return the experiment of a trial; a single value is no parameter of the study."""
    return str(trial.params.get("experiment", next(iter(study.note["arms"]))))


def _prefix(patient: str) -> str:
    return f"verify_{safe_name(patient)}_"


def _untracked(study: NotedStudy) -> NotedStudy:
    """Return a study whose runs another verification has in its record."""
    return replace(study, parent_run=None, trials=tuple((trial, None) for trial, _ in study.trials))


def _key(study: NotedStudy, trial: FinishedTrial) -> tuple[str, int]:
    seed = int(trial.params.get("seed", study.note["seeds"][0]))
    return study.note["arms"][experiment_of(study, trial)], seed


def _runs_of(study: NotedStudy, root: Path) -> Iterator[tuple[tuple[str, int], FinishedRun]]:
    for trial, tracked_run in study.trials:
        assert study.folder is not None
        folder = root / study.folder / str(trial.number)
        yield _key(study, trial), FinishedRun(study, trial, tracked_run, folder)
