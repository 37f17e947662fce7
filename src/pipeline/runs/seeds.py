"""A group of seeds: its record made from a finished study, and its place in MLflow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.errors import DataError
from pipeline.evaluation.metrics_files import headline, metrics_of, read_metrics
from pipeline.evaluation.over_seeds import (
    OverSeeds,
    SeedRun,
    SeedsRecord,
    member_name,
    over_seeds,
    without_ends,
)
from pipeline.evaluation.results import EVALUATED_ON, EvaluatedOn
from pipeline.files import read_record
from pipeline.runs.files import RunFiles
from pipeline.runs.sweep_record import KIND
from pipeline.sweep.analysis import FinishedTrial, StudyRecord
from pipeline.sweep.trial import RUN_ID
from pipeline.tracking import BEST_RUN_TAG, NOTE_TAG, Tracker

NAME = "mlflow.runName"


def group_of(name: str, seeds: Sequence[int], study: StudyRecord, *, root: Path) -> SeedsRecord:
    """Return the record of a group whose trainings have ended and whose models are evaluated.

    Raises `DataError` where a file of an evaluation is missing or damaged.
    """
    runs = runs_of(name, seeds, study, root=root)
    finished = [run for run in runs if run.failure is None]
    kept = {_seed(trial): trial.metrics for trial in study.complete}
    return SeedsRecord(
        name=name,
        study=study.name,
        objective=study.objectives[0],
        best=member_name(name, _seed(study.complete[0])),
        runs=tuple(runs),
        on=_evaluated_on(finished[0].name, root=root),
        kept=over_seeds([kept[run.seed] for run in finished]),
        test=over_seeds(
            [without_ends(read_metrics(root / "results" / run.name)) for run in finished]
        ),
    )


def runs_of(name: str, seeds: Sequence[int], study: StudyRecord, *, root: Path) -> list[SeedRun]:
    """Return the training of each seed. Raises `DataError` where a model is gone."""
    ended = {_seed(t): (t, frozen) for t, frozen in zip(study.trials, study.frozen, strict=True)}
    return [
        _run(member_name(name, seed), seed, ended[seed][0], ended[seed][1].user_attrs, root=root)
        for seed in seeds
    ]


def _run(
    name: str, seed: int, trial: FinishedTrial, attributes: Mapping[str, str], *, root: Path
) -> SeedRun:
    complete = trial.state == "complete"
    return SeedRun(
        seed=seed,
        name=name,
        failure=None if complete else trial.failure or trial.state,
        verdict=trial.verdict,
        tracked_run=attributes.get(RUN_ID),
        weights_sha256=_weights(name, root=root) if complete else None,
    )


def _weights(name: str, *, root: Path) -> str:
    described = RunFiles(root, name).read_description()
    if described is None:
        raise DataError(
            f"models/{name}: missing, though its training has ended. "
            "Train the seeds again: add overwrite=true to the command"
        )
    return described.weights_sha256


def is_evaluated(run: SeedRun, *, earlier: SeedsRecord | None, root: Path) -> bool:
    """Whether an earlier start of the same group has evaluated this very model."""
    known = earlier.runs if earlier else ()
    return run in known and bool(metrics_of(run.weights_sha256 or "", root / "results" / run.name))


def record_group(
    record: SeedsRecord, parent: str, tracker: Tracker, *, files: Sequence[Path]
) -> None:
    """Write the numbers of a group into the run that is the parent of its trainings.

    parent: the key of that run.  files: become its artifacts.
    """
    seeds = ", ".join(str(run.seed) for run in record.runs)
    best = next(run for run in record.runs if run.name == record.best)
    tags = {
        NAME: f"{record.name}, {len(record.runs)} seeds",
        NOTE_TAG: f"Test **{record.in_words}** ({seeds}). {_verdicts(record)}"
        f"Best by {record.objective} on validation: {record.best}, the run of the tag "
        f"{BEST_RUN_TAG}. All numbers: `seeds.json`",
        KIND: "seeds",
        "seeds": seeds,
        **({BEST_RUN_TAG: best.tracked_run} if best.tracked_run else {}),
    }
    with tracker.reopened(parent) as run:
        run.set_tags(tags)
        run.log_metrics(_named({**_kept(record.kept), **headline(record.test)}))
        run.log_files(files)


def _named(numbers: Mapping[str, OverSeeds]) -> dict[str, float]:
    """Return the numbers by kind, so that MLflow shows the means together."""
    by_kind = {
        **{f"mean/{key}": each.mean for key, each in numbers.items()},
        **{f"sd/{key}": each.standard_deviation for key, each in numbers.items()},
        **{f"low/{key}": each.low for key, each in numbers.items()},
        **{f"high/{key}": each.high for key, each in numbers.items()},
    }
    return {key: value for key, value in by_kind.items() if value == value}  # without NaN


def _kept(numbers: Mapping[str, OverSeeds]) -> dict[str, OverSeeds]:
    """Return the numbers that each seed's own run has as ``kept/…``."""
    return {f"kept/{key}": each for key, each in numbers.items() if key.startswith("val/")}


def _verdicts(record: SeedsRecord) -> str:
    """Return ``Verdicts: healthy 2, overfitting 1.``; empty without any."""
    counts = Counter(run.verdict.replace("_", " ") for run in record.finished if run.verdict)
    listed = ", ".join(f"{verdict} {count}" for verdict, count in counts.most_common())
    return f"Verdicts: **{listed}**. " if listed else ""


def _seed(trial: FinishedTrial) -> int:
    return int(trial.params["seed"])


def _evaluated_on(name: str, *, root: Path) -> EvaluatedOn:
    path = root / "results" / name / EVALUATED_ON
    way_out = f"Make it again: pipeline evaluate name={name}"
    return read_record(path, EvaluatedOn, way_out=way_out)
