"""The chain of a project's files: raw → prepared → model → results → MLflow, link by link.

Each function checks one link, returns what it found in words, and raises a `PipelineError` where
the link is broken. Nothing is written.
"""

from __future__ import annotations

import filecmp
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pipeline.config.schema import Tracking
from pipeline.data.manifest import DATASETS, find_dataset
from pipeline.data.official import SUMS_NAME
from pipeline.data.prepare import STANDARDISED, pixel_statistics, split_validation
from pipeline.data.raw import check_sums, read_raw
from pipeline.data.store import content_sha256, load_card, load_prepared
from pipeline.diagnosis.probes.record import ProbesRecord
from pipeline.diagnosis.proof import Healing, Verification
from pipeline.diagnosis.record import Diagnosis
from pipeline.errors import DataError, ModelError, TrackingError
from pipeline.evaluation.generalization import read_generalization_csv
from pipeline.evaluation.metrics_files import (
    DETAILS_FILE,
    HEADLINE,
    METRICS_FILE,
    Details,
    headline,
    read_metrics,
)
from pipeline.evaluation.model_description import read_description
from pipeline.evaluation.over_seeds import (
    SEEDS_FILE,
    OverSeeds,
    SeedsRecord,
    read_seeds,
    summarised,
)
from pipeline.evaluation.results import EVALUATED_ON, EvaluatedOn, Metrics
from pipeline.evaluation.tables import read_confusion_csv
from pipeline.files import read_record
from pipeline.models.saved import load_familiarity, load_model
from pipeline.records import SPLITS, EpochRecord, Prepared
from pipeline.runs.evaluation import accuracies
from pipeline.runs.files import CONFIG_FILE, HISTORY_FILE, RunFiles
from pipeline.runs.history import read_run
from pipeline.runs.note import curves
from pipeline.runs.provenance import data_sha256
from pipeline.tracking import read_artifact, read_tracked, run_of_model

# Records in results/<name>/ with the command that makes each again.
RECORDS: Mapping[str, tuple[type, str]] = {
    METRICS_FILE: (Metrics, "evaluate"),
    DETAILS_FILE: (Details, "evaluate"),
    EVALUATED_ON: (EvaluatedOn, "evaluate"),
    "diagnosis.json": (Diagnosis, "diagnose"),
    "probes.json": (ProbesRecord, "diagnose probe=true"),
    "verification.json": (Verification, "verify"),
    "healing.json": (Healing, "heal"),
}


def raw(name: str, *, root: Path) -> str:
    """Check ``data/raw/<name>/`` against the official checksums."""
    folder = root / "data" / "raw" / name
    read_raw(name, folder)
    check_sums(find_dataset(name), folder)
    return f"{folder.relative_to(root)}: 4 official files, as {SUMS_NAME} has them"


def prepared(name: str, *, root: Path) -> str:
    """Check ``data/processed/<name>/`` against its card, and against the raw files, if here."""
    folder = root / "data" / "processed" / name
    found = load_prepared(folder)
    _check_card(found, folder)
    sizes = " + ".join(f"{len(getattr(found, split)):,}" for split in SPLITS)
    told = f"{folder.relative_to(root)}: {sizes} images, as its card has them"
    if name not in DATASETS or not (root / "data" / "raw" / name).is_dir():
        return f"{told}; the raw files are not here"
    train, test = read_raw(name, root / "data" / "raw" / name)
    seed = found.card.split_seed
    fit_part, val = split_validation(train, size=len(found.val), seed=seed)
    for split, images in zip(SPLITS, (fit_part, val, test), strict=True):
        if content_sha256(images) != found.card.sha256[split]:
            raise DataError(
                f"{folder}: its {split} part was not made from data/raw/{name}/. "
                f"Prepare it again: pipeline preprocess data={name}"
            )
    return f"{told}, made from data/raw/{name}"


def _check_card(found: Prepared, folder: Path) -> None:
    """Raise `DataError` where the card describes other images than those beside it."""
    card = found.card
    counts = {
        split: tuple(np.bincount(getattr(found, split).labels, minlength=card.num_classes).tolist())
        for split in SPLITS
    }
    described = {split: tuple(numbers) for split, numbers in card.class_counts.items()}
    measured = STANDARDISED if card.columns else pixel_statistics(found.train.images)
    statistics = np.allclose(measured, (card.mean, card.std))
    if counts != described or not statistics:
        raise DataError(
            f"{folder / 'card.json'}: describes other images than those beside it. "
            f"Prepare them again: pipeline preprocess data={folder.name}"
        )


def model(name: str, *, root: Path) -> str:
    """Check ``models/<name>/``: weights, description, and the data that it was trained on."""
    folder = root / "models" / name
    saved = load_model(folder)
    load_familiarity(folder)
    data = saved.settings.data.name
    told = f"{folder.relative_to(root)}: weights as described"
    if not (root / "data" / "processed" / data).is_dir():
        return f"{told}; its data is not here"
    card = load_card(root / "data" / "processed" / data)
    here = (
        data_sha256(card),
        card.image_shape,
        list(card.class_names),
        *_floats(card.mean, card.std),
    )
    then = (
        saved.data_sha256,
        saved.input_shape,
        list(saved.class_names),
        *_floats(saved.mean, saved.std),
    )
    if here != then:
        raise ModelError(
            f"{folder}: was trained on another preparation of {data} than data/processed/{data}/. "
            f"Prepare the data as it was, or train again: pipeline train name={name}"
        )
    return f"{told}, trained on data/processed/{data}"


def _floats(*numbers: Sequence[float]) -> list[list[float]]:
    return [[float(number) for number in each] for each in numbers]


def results(name: str, *, root: Path) -> str:
    """Check ``results/<name>/``: of the run that made the model, each file of its form."""
    folder = root / "results" / name
    run = read_run(name, root=root)
    rows = RunFiles(root, name).read_history()
    if run.model and run.model.summary.epochs != len(rows):
        raise DataError(
            f"{folder / HISTORY_FILE}: has {len(rows)} epochs, but models/{name} was trained for "
            f"{run.model.summary.epochs}. Train it again: pipeline train name={name}"
        )
    found = [HISTORY_FILE, *_records(name, folder)]
    if DETAILS_FILE in found:
        _check_evaluated_model(name, folder, root)
    return f"{folder.relative_to(root)}: {', '.join(found)}, of one run"


def _records(name: str, folder: Path) -> list[str]:
    """Read the further files of a run; return the names of those that are there."""
    found = []
    for file, (kind, command) in RECORDS.items():
        if (folder / file).is_file():
            read_record(
                folder / file, kind, way_out=f"Make it again: pipeline {command} name={name}"
            )
            found.append(file)
    if (folder / METRICS_FILE).is_file():
        check_evaluation(folder)
    return found


def _check_evaluated_model(name: str, folder: Path, root: Path) -> None:
    """Raise `DataError` where another model was evaluated than the one of this name."""
    way_out = f"Make it again: pipeline evaluate name={name}"
    details = read_record(folder / DETAILS_FILE, Details, way_out=way_out)
    described = RunFiles(root, name).read_description()
    if described and described.weights_sha256 != details.weights_sha256:
        raise DataError(f"{folder / DETAILS_FILE}: of another model than models/{name}. {way_out}")


def check_evaluation(folder: Path) -> None:
    """Raise `DataError` where the files of an evaluation do not have the same numbers."""
    way_out = f"Make it again: pipeline evaluate name={folder.name}"
    metrics = read_metrics(folder)
    pairs: list[tuple[str, str, float]] = []
    if (folder / "confusion.csv").is_file():
        matrix, _ = read_confusion_csv(folder / "confusion.csv")
        pairs.append(("confusion.csv", "test/accuracy", float(np.trace(matrix) / matrix.sum())))
    if (folder / "generalization.csv").is_file():
        rows = read_generalization_csv(folder / "generalization.csv")
        pairs += [("generalization.csv", key, value) for key, value in accuracies(rows).items()]
    for file, key, value in pairs:
        if not math.isclose(metrics.get(key, math.nan), value, rel_tol=1e-12):
            other = METRICS_FILE if key in HEADLINE.values() else DETAILS_FILE
            raise DataError(
                f"{folder / file}: has {key} = {value:.6g}, {other} "
                f"{metrics.get(key, math.nan):.6g}. {way_out}"
            )


def seeds(name: str, *, root: Path) -> str:
    """Check ``results/<name>/seeds.json``: of these models, with the means of their metrics."""
    folder = root / "results" / name
    record = read_seeds(folder)
    assert record is not None
    way_out = "Make it again with the command that made it: pipeline train … seeds=…"
    for run in record.finished:
        if read_description(root / "models" / run.name).weights_sha256 != run.weights_sha256:
            raise DataError(f"{folder / SEEDS_FILE}: models/{run.name} is another one. {way_out}")
    for key, summary in record.test.items():
        if summary.n > 1 and math.isfinite(summary.mean) and summary != _again(key, record, root):
            raise DataError(
                f"{folder / SEEDS_FILE}: {key} is not that of the models' evaluations. {way_out}"
            )
    return (
        f"{folder.relative_to(root)}: {len(record.finished)} models, and the means of their files"
    )


def _again(key: str, record: SeedsRecord, root: Path) -> OverSeeds:
    return summarised([read_metrics(root / "results" / run.name)[key] for run in record.finished])


def mlflow(name: str, *, root: Path) -> str:
    """Check that MLflow holds the run that made the model, with the numbers of its files."""
    made = read_description(root / "models" / name)
    settings = Tracking.model_validate(made.settings["tracking"])
    if not settings.enabled:
        return f"{name}: was trained with tracking=none"
    uri = settings.uri
    recorded_as = str(made.settings["name"])
    found = run_of_model(
        made.weights_sha256, name=recorded_as, experiment=settings.experiment, uri=uri, root=root
    )
    way_out = f"Send what is open: pipeline sync, or train again: pipeline train name={name}"
    if found is None:
        raise TrackingError(f"no run in MLflow made models/{name}. {way_out}")
    run_id, status = found
    if status != "FINISHED":
        raise TrackingError(f"run={run_id}: is {status} in MLflow, not FINISHED. {way_out}")
    num_numbers = _check_numbers(run_id, name, uri=uri, root=root, way_out=way_out)
    _check_artifacts(run_id, name, uri=uri, root=root, way_out=way_out)
    return f"run {run_id}: FINISHED, {num_numbers:,} numbers and the files of results/{name}"


def _check_numbers(run_id: str, name: str, *, uri: str, root: Path, way_out: str) -> int:
    """Raise `TrackingError` for a number that MLflow lacks or has otherwise; return their count."""
    files = RunFiles(root, name)
    _, points = read_tracked(run_id, uri=uri, root=root)
    recorded = {(key, step): value for key, pairs in points.items() for step, value in pairs}
    wanted = {point: value for row in files.read_history() for point, value in _points(row)}
    if (files.results / METRICS_FILE).is_file():
        metrics = headline(read_metrics(files.results))
        wanted |= {(key, 0): value for key, value in metrics.items() if math.isfinite(value)}
    for (key, step), value in wanted.items():
        if recorded.get((key, step)) != value:
            raise TrackingError(
                f"run={run_id}: {key} at step {step} is {recorded.get((key, step), 'missing')} in "
                f"MLflow, and {value} in results/{name}/. {way_out}"
            )
    return len(wanted)


def _points(row: EpochRecord) -> list[tuple[tuple[str, int], float]]:
    """The finite numbers of an epoch that MLflow has as curves."""
    return [
        ((key, row.epoch + 1), value)
        for key, value in curves(row.metrics).items()
        if math.isfinite(value)
    ]


def _check_artifacts(run_id: str, name: str, *, uri: str, root: Path, way_out: str) -> None:
    results = RunFiles(root, name).results
    evaluated = [DETAILS_FILE] if (results / DETAILS_FILE).is_file() else []
    with TemporaryDirectory() as folder:
        for file in (HISTORY_FILE, CONFIG_FILE, *evaluated):
            kept = read_artifact(run_id, file, uri=uri, root=root, folder=Path(folder))
            if kept is None or not filecmp.cmp(kept, results / file, shallow=False):
                state = "is missing" if kept is None else f"is not results/{name}/{file}"
                raise TrackingError(f"run={run_id}: its artifact {file} {state}. {way_out}")
