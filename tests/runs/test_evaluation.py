"""The evaluation of a trained model: its numbers, its files, its place in the tracked run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from scipy.special import softmax

from pipeline.config import compose
from pipeline.data.corruptions import corrupt
from pipeline.data.store import content_sha256
from pipeline.errors import DataError
from pipeline.evaluation.generalization import read_generalization_csv
from pipeline.evaluation.metrics_files import headline, read_metrics
from pipeline.evaluation.tables import read_confusion_csv
from pipeline.models.inference import predict_logits
from pipeline.models.saved import load_model
from pipeline.runs.evaluation import (
    ModelEvaluation,
    _load_other,
    evaluate_model,
    track_evaluation,
    write_evaluation,
)
from sealed_records import fields_of, write_fields
from small_mnist import load_images, write_prepared

TEST = load_images("test")
QUICK = (
    "evaluation.num_resamples=100",
    "evaluation.corruptions=[noise]",
    "evaluation.severities=[3]",
    "evaluation.corruption_size=50",
)


def measure(root: Path, *overrides: str) -> ModelEvaluation:
    """Evaluate ``mlp`` on one corruption, and on scikit-learn's digits."""
    options = compose([*QUICK, *overrides], root=root).settings.evaluation
    return evaluate_model("mlp", data="mnist", options=options, root=root)


@pytest.fixture(scope="module")
def measured(trained_once: Path) -> ModelEvaluation:
    """The evaluation of the tiny model."""
    return measure(trained_once, "evaluation.num_mistakes=12")


def accuracy_by_hand(root: Path, images: np.ndarray, labels: np.ndarray) -> float:
    model = load_model(root / "models" / "mlp")
    logits = predict_logits(model.network, images, mean=model.mean, std=model.std)
    return float((logits.argmax(1) == labels).mean())


def test_the_scores_are_those_of_the_test_part(
    measured: ModelEvaluation, trained_once: Path
) -> None:
    by_hand = accuracy_by_hand(trained_once, TEST.images, TEST.labels)
    assert measured.scores.num_examples == 500
    assert measured.metrics["test/accuracy"] == pytest.approx(by_hand)


def test_the_worst_corruption_is_the_lowest_accuracy_of_all(trained_once: Path) -> None:
    found = measure(trained_once, "evaluation.severities=[1,5]").metrics
    assert found["test/worst_corruption_accuracy"] == min(
        found[f"corruption/noise/{severity}/accuracy"] for severity in (1, 5)
    )


def test_a_corruption_is_measured_on_the_first_test_images(
    measured: ModelEvaluation, trained_once: Path
) -> None:
    corrupted = corrupt(TEST.images[:50], name="noise", severity=3, seed=0)
    by_hand = accuracy_by_hand(trained_once, corrupted, TEST.labels[:50])
    assert measured.metrics["corruption/noise/3/accuracy"] == pytest.approx(by_hand)


def test_the_rows_are_the_test_set_then_other_sets_then_corruptions(
    measured: ModelEvaluation,
) -> None:
    assert [(row.name, row.severity) for row in measured.generalization] == [
        ("test set", 0),
        ("digits", None),
        ("noise", 3),
    ]


def test_ten_digits_are_no_test_of_a_model_of_other_classes(trained_once: Path) -> None:
    model = replace(load_model(trained_once / "models" / "mlp"), class_names=("even", "odd"))
    with pytest.raises(DataError, match=r"digits: has ten classes.* the model has 2"):
        _load_other("digits", model, trained_once)


def test_the_mean_of_views_is_that_of_their_probabilities(trained_once: Path) -> None:
    measured = measure(trained_once, "evaluation.tta=[shift]")
    model = load_model(trained_once / "models" / "mlp")
    views = [TEST.images, *(np.zeros_like(TEST.images) for _ in range(4))]
    views[1][..., :-1, :], views[2][..., 1:, :] = TEST.images[..., 1:, :], TEST.images[..., :-1, :]
    views[3][..., :-1], views[4][..., 1:] = TEST.images[..., 1:], TEST.images[..., :-1]
    logits = [predict_logits(model.network, v, mean=model.mean, std=model.std) for v in views]
    mean = softmax(np.stack(logits).astype(np.float64), axis=2).mean(0)
    right = mean.argmax(1) == TEST.labels
    assert measured.metrics["tta/accuracy"] == pytest.approx(right.mean())
    loss = -np.log(mean[np.arange(500), TEST.labels]).mean()
    assert measured.metrics["tta/cross_entropy"] == pytest.approx(loss, rel=1e-6)
    plain = measure(trained_once).metrics
    assert not [name for name in plain if name.startswith("tta/")]
    assert plain["test/accuracy"] == measured.metrics["test/accuracy"]


def test_the_mistakes_are_wrong_and_the_surest_first(measured: ModelEvaluation) -> None:
    mistakes = measured.mistakes
    assert mistakes.images.shape == (12, 1, 28, 28)
    assert (mistakes.predictions != mistakes.labels).all()
    assert (np.diff(mistakes.confidences) <= 0).all()


def test_the_files_hold_the_numbers_to_the_last_digit(
    measured: ModelEvaluation, tmp_path: Path
) -> None:
    paths = write_evaluation(measured, tmp_path)
    confusion, generalization, classes, on, metrics, details = paths
    assert read_metrics(tmp_path) == measured.metrics
    numbers = fields_of(details)["numbers"]
    assert list(numbers) == sorted(numbers)
    assert len(json.loads(metrics.read_text())) + len(numbers) == len(measured.metrics)
    table = pd.read_csv(classes, dtype={"class": str}, float_precision="round_trip")
    for name, f1, low in zip(table["class"], table["f1"], table["f1_low"], strict=True):
        assert f1 == measured.metrics[f"test/f1/{name}"]
        assert low <= f1
    np.testing.assert_array_equal(read_confusion_csv(confusion)[0], measured.scores.confusion)
    assert tuple(read_generalization_csv(generalization)) == measured.generalization
    assert fields_of(on) == {
        "data": "mnist",
        "sha256": content_sha256(TEST),
        "num_images": 500,
    }


def test_the_preparation_that_the_model_was_trained_on_is_recognised(
    measured: ModelEvaluation,
) -> None:
    assert measured.same_data


def test_another_preparation_of_the_data_is_noticed(tiny_model: Path) -> None:
    write_prepared(tiny_model / "data/processed/mnist", num_train=1000)
    assert not measure(tiny_model).same_data


def test_data_of_other_classes_is_refused(tiny_model: Path) -> None:
    card = tiny_model / "data/processed/mnist/card.json"
    write_fields(card, {**fields_of(card), "class_names": [*"abcdefghij"]})
    with pytest.raises(DataError, match="the model mlp was trained on 10 classes"):
        measure(tiny_model)


def test_a_model_that_the_store_does_not_know_gets_a_run_of_its_own(
    measured: ModelEvaluation, project: Path
) -> None:
    tracking = compose([], root=project).settings.tracking
    track_evaluation(measured, [], tracking=tracking, root=project)
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert (run.info.run_name, run.info.status) == ("mlp", "FINISHED")
    assert run.data.tags["model.sha256"] == measured.weights_sha256
    assert run.data.metrics == headline(measured.metrics)
    assert len(run.data.metrics) == 8
