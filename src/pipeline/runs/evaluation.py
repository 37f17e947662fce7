"""Measuring a trained model on the untouched test part and on other data, and the files of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.config.schema import EvaluationSettings, Tracking
from pipeline.data.corruptions import corrupt
from pipeline.data.other_writers import digits
from pipeline.data.prepared import prepared_folder
from pipeline.data.store import load_card, load_split
from pipeline.diagnosis import Diagnosis
from pipeline.errors import DataError, PipelineError
from pipeline.evaluation import Evaluation, evaluate, flatten, top_class, worst_mistakes
from pipeline.evaluation.generalization import GeneralizationRow, write_generalization_csv
from pipeline.evaluation.intervals import wilson
from pipeline.evaluation.metrics_files import HEADLINE, headline, write_metrics
from pipeline.evaluation.results import EVALUATED_ON, EvaluatedOn
from pipeline.evaluation.tables import write_classes_csv, write_confusion_csv
from pipeline.files import write_record
from pipeline.models.features import logits_and_features
from pipeline.models.inference import averaged_logits, predict_logits
from pipeline.models.saved import SavedModel, load_familiarity, load_model
from pipeline.records import DataCard, Estimate, ImageSet
from pipeline.runs.history import read_run
from pipeline.runs.note import of_model
from pipeline.runs.provenance import data_sha256
from pipeline.runs.verdict import verdict_of
from pipeline.tracking import NOTE_TAG, open_tracker

DIGITS = "digits"  # scikit-learn's images by other writers
_TEN_DIGITS = tuple("0123456789")
_OF_VIEWS = ("accuracy", "accuracy_low", "accuracy_high", "cross_entropy", "f1_macro")


@dataclass(frozen=True)
class Mistakes:
    """The most confident mistakes, the surest first.

    images: ``[M, C, H, W]`` uint8.  labels, predictions: ``[M]`` int64.
    confidences: ``[M]`` float64, the probability of the predicted class.
    """

    images: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray
    confidences: np.ndarray


@dataclass(frozen=True)
class ModelEvaluation:
    """The scores of one model.

    scores: on the test part.  generalization: on the test part, other sets and corruptions.
    on: the test part.
    data_sha256: of all parts of the data.
    same_data: whether the data is the preparation that the model was trained on.
    tracking: of the model's training.
    averaged: on the test part, of the mean answer to several views; None where none was asked for.
    unlike: share of the test images that `predict` would call unlike the training data; None for a
    model that cannot tell.
    """

    name: str
    on: EvaluatedOn
    weights_sha256: str
    scores: Evaluation
    generalization: tuple[GeneralizationRow, ...]
    mistakes: Mistakes
    data_sha256: str
    same_data: bool
    tracking: Tracking
    averaged: Evaluation | None = None
    unlike: Estimate | None = None

    @property
    def metrics(self) -> Mapping[str, float]:
        """Every number by its name: ``test/accuracy``, ``corruption/noise/3/accuracy``, …."""
        corrupted = [row.accuracy.value for row in self.generalization if row.severity]
        worst = {HEADLINE["worst"]: min(corrupted)} if corrupted else {}
        scores = flatten(self.scores, prefix="test/")
        plain = {**accuracies(self.generalization), **worst, **scores}
        if self.unlike is not None:
            plain["test/unlike_share"] = self.unlike.value
        if self.averaged is None:
            return plain
        of_views = flatten(self.averaged, prefix="tta/")
        return {**plain, **{f"tta/{name}": of_views[f"tta/{name}"] for name in _OF_VIEWS}}


def evaluate_model(
    name: str, *, data: str | None, options: EvaluationSettings, root: Path
) -> ModelEvaluation:
    """Measure ``models/<name>/`` on the test part of its data, and on other data.

    data: name of the prepared data, ``data/processed/<data>/``; None for that of the training.
    Raises `ModelError` or `DataError` where the model or its data is missing, and `DataError` for
    data of other classes or of another image size.
    """
    model = load_model(root / "models" / name)
    processed = prepared_folder(data or model.settings.data.name, root=root)
    card = load_card(processed)
    _check_shapes(name, model, card)

    test = load_split(processed, "test")
    logits, unlike = _answers(model, test, root / "models" / name)
    scores = evaluate(
        logits,
        test.labels,
        class_names=model.class_names,
        num_resamples=options.num_resamples,
    )
    rows = (
        GeneralizationRow(name="test set", severity=0, accuracy=scores.accuracy),
        *_on_other_sets(model, options, root=root),
        *_on_corruptions(model, options, test),
    )
    return ModelEvaluation(
        name=name,
        on=EvaluatedOn(card.name, card.sha256["test"], len(test)),
        weights_sha256=model.weights_sha256,
        scores=scores,
        generalization=rows,
        mistakes=_mistakes(logits, test, count=options.num_mistakes),
        data_sha256=data_sha256(card),
        same_data=data_sha256(card) == model.data_sha256,
        tracking=model.settings.tracking,
        averaged=_averaged(model, test, options),
        unlike=unlike,
    )


def _answers(model: SavedModel, test: ImageSet, folder: Path) -> tuple[np.ndarray, Estimate | None]:
    """Return the logits, and the share of images unlike the training data where it is known."""
    familiarity = load_familiarity(folder)
    if familiarity is None or not len(test):
        return _logits(model, test), None
    logits, features = logits_and_features(
        model.network, test.images, mean=model.mean, std=model.std
    )
    return logits, wilson(familiarity.num_unfamiliar(features, test.images), len(test))


def _averaged(model: SavedModel, test: ImageSet, options: EvaluationSettings) -> Evaluation | None:
    if not options.tta:
        return None
    logits = averaged_logits(
        model.network, test.images, kinds=options.tta, mean=model.mean, std=model.std
    )
    return evaluate(
        logits, test.labels, class_names=model.class_names, num_resamples=options.num_resamples
    )


def write_evaluation(measured: ModelEvaluation, folder: Path) -> list[Path]:
    """Write the numbers and what they were measured on; return the paths.

    They are the three tables ``confusion.csv``, ``generalization.csv`` and ``classes.csv``,
    ``evaluated_on.json``, and the two files of `write_metrics`, the last ones.
    """
    names = ("confusion.csv", "generalization.csv", "classes.csv", EVALUATED_ON)
    confusion, generalization, classes, on = (folder / name for name in names)
    scores = measured.scores
    write_confusion_csv(confusion, scores.confusion, class_names=scores.class_names)
    write_generalization_csv(generalization, measured.generalization)
    write_classes_csv(classes, scores.per_class)
    write_record(on, measured.on)
    numbers = write_metrics(folder, measured.metrics, weights_sha256=measured.weights_sha256)
    return [confusion, generalization, classes, on, *numbers]


def track_evaluation(
    measured: ModelEvaluation, files: Sequence[Path], *, tracking: Tracking, root: Path
) -> None:
    """Add headline and files to the run that made the model; open a run where none is known.

    tracking: of the place where the run is, see `where_its_run_is`.
    """
    tracker = open_tracker(tracking, root=root)
    if tracker is None:
        return
    digest, numbers = measured.weights_sha256, headline(measured.metrics)
    note = of_model(measured.name, numbers, _verdict(measured.name, root=root))
    with tracker.of_model(model_sha256=digest, name=measured.name, create=True) as run:
        run.set_tags({NOTE_TAG: note})
        numbers = {**numbers, **_of_views(measured.metrics)}
        run.log_metrics(numbers, data=(measured.on.data, measured.data_sha256))
        run.log_files(files)


def _of_views(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name.startswith("tta/")}


def _verdict(name: str, *, root: Path) -> Diagnosis | None:
    """Return the diagnosis of a run; None where its history is not there or says nothing."""
    try:
        return verdict_of(read_run(name, root=root).history)
    except PipelineError:
        return None


def _check_shapes(name: str, model: SavedModel, card: DataCard) -> None:
    if tuple(card.class_names) != tuple(model.class_names) or card.image_shape != model.input_shape:
        raise DataError(
            f"data={card.name} has {card.num_classes} classes and images of "
            f"{card.image_shape}; the model {name} was trained on "
            f"{len(model.class_names)} classes and {model.input_shape}. "
            "Evaluate it with the data that it was trained on: data=<name>"
        )


def _logits(model: SavedModel, images: ImageSet) -> np.ndarray:
    return predict_logits(model.network, images.images, mean=model.mean, std=model.std)


def _accuracy(model: SavedModel, images: ImageSet) -> Estimate:
    predictions, _ = top_class(_logits(model, images).astype(np.float64))
    return wilson(int((predictions == images.labels).sum()), len(images))


def _on_other_sets(
    model: SavedModel, options: EvaluationSettings, *, root: Path
) -> Iterator[GeneralizationRow]:
    for name in _other_sets(options.other_sets, model):
        accuracy = _accuracy(model, _load_other(name, model, root))
        yield GeneralizationRow(name=name, severity=None, accuracy=accuracy)


def _other_sets(wanted: str | list[str], model: SavedModel) -> Sequence[str]:
    if isinstance(wanted, list):
        return wanted
    return [DIGITS] if not model.columns and tuple(model.class_names) == _TEN_DIGITS else []


def _load_other(name: str, model: SavedModel, root: Path) -> ImageSet:
    if name == DIGITS:
        if len(model.class_names) != len(_TEN_DIGITS):
            raise DataError(
                f"evaluation.other_sets={name}: has ten classes, 0 … 9; the model has "
                f"{len(model.class_names)}. Leave it out."
            )
        return digits(model.input_shape)
    directory = root / "data" / "processed" / name
    card = load_card(directory)
    if card.image_shape != model.input_shape or card.num_classes != len(model.class_names):
        raise DataError(
            f"evaluation.other_sets={name}: has {card.num_classes} classes and images of "
            f"{card.image_shape}; the model takes {len(model.class_names)} and "
            f"{model.input_shape}. Leave it out."
        )
    return load_split(directory, "test")


def _on_corruptions(
    model: SavedModel, options: EvaluationSettings, test: ImageSet
) -> Iterator[GeneralizationRow]:
    """Accuracy on the same images under every corruption, so that nothing else differs.

    The rows of a table have none.
    """
    if model.columns:
        return
    images = test.images[: options.corruption_size]
    labels = test.labels[: options.corruption_size]
    for name in options.corruptions:
        for severity in options.severities:
            corrupted = corrupt(images, name=name, severity=severity, seed=0)
            accuracy = _accuracy(model, ImageSet(images=corrupted, labels=labels))
            yield GeneralizationRow(name=name, severity=severity, accuracy=accuracy)


def _mistakes(logits: np.ndarray, test: ImageSet, *, count: int) -> Mistakes:
    worst = worst_mistakes(logits, test.labels, count=count)
    predictions, confidences = top_class(logits.astype(np.float64))
    return Mistakes(
        images=test.images[worst],
        labels=test.labels[worst],
        predictions=predictions[worst],
        confidences=confidences[worst],
    )


def accuracies(rows: Sequence[GeneralizationRow]) -> dict[str, float]:
    """Return the accuracy of each row by its full name."""
    named = {}
    for row in rows:
        if row.severity is None:
            named[f"other/{row.name}/accuracy"] = row.accuracy.value
        elif row.severity > 0:
            named[f"corruption/{row.name}/{row.severity}/accuracy"] = row.accuracy.value
        else:
            named["test/accuracy"] = row.accuracy.value
    return named
