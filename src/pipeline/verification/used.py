"""The runs that a verification uses, by part, arm and seed, whichever call has trained them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.sweep.noted import NotedStudy
from pipeline.verification.known import FinishedRun
from pipeline.verification.parts import RANDOM, SEARCH, kind_of, shown_arm


@dataclass(frozen=True)
class TrialRun:
    """One run of a verification.

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


@dataclass
class UsedRuns:
    """The runs of one verification.

    studies: names of the studies that they come from, by part: ``arms``, ``arms_2``, ….
    """

    studies: dict[str, str] = field(default_factory=dict)
    _runs: dict[tuple[str, str, int], FinishedRun] = field(default_factory=dict)

    def add(self, part: str, arm: str, seed: int, run: FinishedRun) -> None:
        """Add the run of an arm and a seed."""
        kind = kind_of(part)
        self._runs[kind, arm, seed] = run
        if run.study.name not in self.studies.values():
            same = sum(kind_of(each) == kind for each in self.studies)
            self.studies[f"{kind}_{same + 1}" if same else kind] = run.study.name

    def of(self, part: str, arm: str, seed: int) -> FinishedRun | None:
        """Return the run of an arm and a seed; None where it was never added."""
        return self._runs.get((kind_of(part), arm, seed))

    def folder(self, kind: str, arm: str, seed: int) -> Path | None:
        """Return the folder that the run of an arm and a seed wrote; None if the run diverged.

        The first seed of random search may be a draw of the search.
        """
        run = self.of(kind, arm, seed)
        if run is None and kind == RANDOM:
            run = self.of(SEARCH, arm, seed)
        return run.folder if run is not None and run.complete else None

    def each(self) -> Iterator[TrialRun]:
        """Yield every run once; a draw that random search goes on with is one of the search."""
        seen: set[Path] = set()
        for (kind, arm, seed), run in self._runs.items():
            if run.folder not in seen:
                seen.add(run.folder)
                yield TrialRun(kind, arm, seed, run.tracked_run)

    def whole_studies(self) -> Iterator[tuple[str, str]]:
        """Yield the kind of part and the tracked run of each study all of whose runs are used."""
        kind_and_study: dict[Path, tuple[str, NotedStudy]] = {}
        for (kind, _, _), run in self._runs.items():
            kind_and_study.setdefault(run.folder, (kind, run.study))
        used = Counter(study.name for _, study in kind_and_study.values())
        for kind, study in {
            study.name: (k, study) for k, study in kind_and_study.values()
        }.values():
            if study.parent_run and used[study.name] == len(study.trials):
                yield kind, study.parent_run
