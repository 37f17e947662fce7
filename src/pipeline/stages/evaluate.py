"""The stage ``evaluate``: a trained model on the untouched test set, and on other data."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.config import Settings
from pipeline.data.corruptions import corrupt
from pipeline.data.other_writers import digits
from pipeline.data.store import load_card, load_split
from pipeline.errors import DataError
from pipeline.evaluation import Evaluation, evaluate, flatten, top_class, worst_mistakes
from pipeline.evaluation.intervals import wilson
from pipeline.evaluation.tables import write_confusion_csv
from pipeline.files import write_atomically
from pipeline.models.inference import predict_logits
from pipeline.models.saved import SavedModel, load_model
from pipeline.records import Estimate, ImageSet
from pipeline.reporting import confusion, generalization, mistakes, per_class, reliability
from pipeline.reporting.model_report import GeneralizationRow
from pipeline.reporting.style import save_png
from pipeline.stages.provenance import data_sha256
from pipeline.tracking import MODEL_TAG, Tracker

TEN_DIGITS = tuple("0123456789")


def evaluate_model(settings: Settings, *, root: Path) -> Mapping[str, float]:
    """Measure ``models/<name>/``, write ``results/<name>/``, add the numbers to the model's tracked run.

    Raises `ModelError` or `DataError` where the model, or the data that it was trained on, is missing.
    """
    model = load_model(root / "models" / settings.name)
    processed = root / "data" / "processed" / settings.data.name
    _check_data(model, settings, processed)
    test = load_split(processed, "test")
    logits = _logits(model, test)
    found = evaluate(
        logits, test.labels, class_names=model.class_names, num_resamples=settings.evaluation.num_resamples
    )
    rows = _generalization(model, settings, test, found, root=root)
    metrics = {**flatten(found, prefix="test/"), **_as_metrics(rows)}
    files = _write(settings, model, test, logits, found, rows, metrics, root=root)
    _record(settings, model, metrics, files, root=root)
    print(
        f"{settings.name}: test accuracy {_interval(found.accuracy)}, macro F1 {_interval(found.f1_macro)}, "
        f"cross-entropy {found.cross_entropy.value:.4f}, calibration error {found.calibration_error.value:.2%}"
    )
    return metrics


def _check_data(model: SavedModel, settings: Settings, processed: Path) -> None:
    card = load_card(processed)
    if tuple(card.class_names) != tuple(model.class_names) or card.image_shape != model.input_shape:
        raise DataError(
            f"data={settings.data.name} has {card.num_classes} classes and images of {card.image_shape}; the model "
            f"{settings.name} was trained on {len(model.class_names)} classes and {model.input_shape}. "
            "Evaluate it with the data that it was trained on: data=<name>"
        )
    if data_sha256(card) != model.data_sha256:
        print(
            f"warning: {settings.name} was trained on another preparation of {card.name} than the present one. "
            "A published test set stays the same; of your own folder some test images may have been trained on."
        )


def _logits(model: SavedModel, images: ImageSet) -> np.ndarray:
    return predict_logits(model.network, images.images, mean=model.mean, std=model.std)


def _generalization(
    model: SavedModel, settings: Settings, test: ImageSet, found: Evaluation, *, root: Path
) -> list[GeneralizationRow]:
    e = settings.evaluation
    rows = [GeneralizationRow(name="test set", severity=0, accuracy=found.accuracy)]
    for name in _other_sets(e.other_sets, model):
        other = _load_other(name, model, root)
        rows.append(GeneralizationRow(name=name, severity=None, accuracy=_accuracy(model, other)))
    # The same images under every corruption, so that they differ by nothing else.
    part = ImageSet(images=test.images[: e.corruption_size], labels=test.labels[: e.corruption_size])
    for name in e.corruptions:
        for severity in e.severities:
            images = corrupt(part.images, name=name, severity=severity, seed=0)
            accuracy = _accuracy(model, ImageSet(images=images, labels=part.labels))
            rows.append(GeneralizationRow(name=name, severity=severity, accuracy=accuracy))
    return rows


def _other_sets(wanted: str | list[str], model: SavedModel) -> Sequence[str]:
    if isinstance(wanted, list):
        return wanted
    return ["digits"] if tuple(model.class_names) == TEN_DIGITS else []


def _load_other(name: str, model: SavedModel, root: Path) -> ImageSet:
    if name == "digits":
        return digits(model.input_shape)
    directory = root / "data" / "processed" / name
    card = load_card(directory)
    if card.image_shape != model.input_shape or card.num_classes != len(model.class_names):
        raise DataError(
            f"evaluation.other_sets={name}: has {card.num_classes} classes and images of {card.image_shape}; the "
            f"model takes {len(model.class_names)} and {model.input_shape}. Leave it out."
        )
    return load_split(directory, "test")


def _accuracy(model: SavedModel, images: ImageSet) -> Estimate:
    predictions, _ = top_class(_logits(model, images).astype(np.float64))
    return wilson(int((predictions == images.labels).sum()), len(images))


def _as_metrics(rows: Sequence[GeneralizationRow]) -> dict[str, float]:
    named = {}
    for row in rows:
        if row.severity is None:
            named[f"other/{row.name}/accuracy"] = row.accuracy.value
        elif row.severity > 0:
            named[f"corruption/{row.name}/{row.severity}/accuracy"] = row.accuracy.value
    return named


def _write(
    settings: Settings,
    model: SavedModel,
    test: ImageSet,
    logits: np.ndarray,
    found: Evaluation,
    rows: Sequence[GeneralizationRow],
    metrics: Mapping[str, float],
    *,
    root: Path,
) -> list[Path]:
    results = root / "results" / settings.name
    results.mkdir(parents=True, exist_ok=True)
    names = model.class_names
    worst = worst_mistakes(logits, test.labels, count=settings.evaluation.num_mistakes)
    predictions, confidences = top_class(logits.astype(np.float64))
    figures = {
        "confusion": confusion.plot(found.confusion, class_names=names),
        "reliability": reliability.plot(found.calibration_bins),
        "per_class": per_class.plot(found),
        "generalization": generalization.plot(rows),
        "mistakes": mistakes.plot(
            test.images[worst],
            test.labels[worst],
            predictions=predictions[worst],
            confidences=confidences[worst],
            class_names=names,
        ),
    }
    for stem, figure in figures.items():
        save_png(figure, results / f"{stem}.png")
    write_confusion_csv(results / "confusion.csv", found.confusion, class_names=names)
    write_atomically(results / "generalization.csv", _generalization_csv(rows))
    text = json.dumps(metrics, indent=2, sort_keys=True) + "\n"
    write_atomically(results / "metrics.json", text.encode())
    tables = [results / "metrics.json", results / "confusion.csv", results / "generalization.csv"]
    return tables + [results / f"{stem}.png" for stem in figures]


def _generalization_csv(rows: Sequence[GeneralizationRow]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "severity", "accuracy", "low", "high", "n"])
    for row in rows:
        a = row.accuracy
        severity = "" if row.severity is None else row.severity
        writer.writerow([row.name, severity, repr(a.value), repr(a.low), repr(a.high), a.n])
    return text.getvalue().encode()


def _record(
    settings: Settings, model: SavedModel, metrics: Mapping[str, float], files: Sequence[Path], *, root: Path
) -> None:
    """Add the numbers to the run that made the model, or open one where this store knows none."""
    if not settings.tracking.enabled:
        return
    tracker = Tracker(settings.tracking.uri, experiment=settings.tracking.experiment, root=root)
    run = tracker.find(model_sha256=model.weights_sha256, name=settings.name)
    opened = run is None
    if run is None:
        run = tracker.start(settings.name, tags={MODEL_TAG: model.weights_sha256})
    run.log_metrics(metrics)
    run.log_files(files)
    if opened:
        run.finish()


def _interval(estimate: Estimate) -> str:
    return f"{estimate.value:.2%} [{estimate.low:.2%}, {estimate.high:.2%}]"
