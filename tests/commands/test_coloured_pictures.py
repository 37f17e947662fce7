"""Coloured pictures of two sizes, few and many classes, through every command on a folder."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from sklearn.metrics import log_loss

from coloured import make_coloured
from pipeline import cli
from pipeline.data.store import load_prepared, load_split
from pipeline.errors import ConfigError
from pipeline.evaluation.metrics_files import read_metrics
from pipeline.evaluation.tables import read_confusion_csv
from pipeline.losses import balanced_weights
from pipeline.models.inference import predict_logits
from pipeline.models.saved import load_model

# Side and pictures of each class; the first set is imbalanced.
SETS = {"small": (32, (40, 20, 10)), "large": (96, (8,) * 20)}
NETWORK = (
    *("model=resnet", "model.width=4", "model.depth=2", "model.blocks_per_stage=1"),
    *("trainer.accelerator=cpu", "trainer.max_epochs=2", "data.batch_size=16"),
)
QUICK = ("evaluation.num_resamples=100", "evaluation.severities=[3]")


@pytest.fixture(params=SETS)
def photos(request: pytest.FixtureRequest, project: Path) -> tuple[Path, list[str]]:
    """A project with prepared coloured pictures, and the settings of its data."""
    side, counts = SETS[request.param]
    make_coloured(project / "photos", side=side, counts=counts)
    data = ["data=image_folder", "data.path=photos", "data.channels=3", f"data.image_size={side}"]
    assert cli.call("preprocess", data) == 0
    return project, data


def test_every_command_works_on_coloured_pictures(
    photos: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    root, data = photos
    whole = load_prepared(root / "data/processed/photos")
    num_classes, side = whole.card.num_classes, whole.card.image_shape[1]
    assert whole.card.image_shape == (3, side, side)

    weighted = "loss.class_weights=balanced"
    untracked = "tracking=none"
    assert cli.call("train", ["name=own", *data, *NETWORK, weighted, untracked]) == 0
    assert cli.call("evaluate", ["name=own", *QUICK, untracked, "evaluation.tta=[flip]"]) == 0
    metrics = read_metrics(root / "results/own")
    assert 0 <= metrics["test/accuracy"] <= 1
    assert "for the mean of 2 views (as it is, flip)" in capsys.readouterr().out
    assert cli.call("diagnose", ["name=own"]) == 0
    _check_predictions(root, num_classes, capsys)
    _check_files(root, num_classes, side)
    assert cli.call("report", []) == 0
    page = (root / "results/report.html").read_text()
    assert "own" in page and "photos" in page


def _check_files(root: Path, num_classes: int, side: int) -> None:
    """Every file has all classes, also those that the test part has in few pictures."""
    names = [f"class_{label:02}" for label in range(num_classes)]
    described = json.loads((root / "models/own/model.json").read_text())
    assert described["input_shape"] == [3, side, side]
    assert described["class_names"] == names
    assert len(described["mean"]) == len(described["std"]) == 3
    results = root / "results/own"
    test = load_split(root / "data/processed/photos", "test")
    confusion, confused = read_confusion_csv(results / "confusion.csv")
    assert confusion.shape == (num_classes, num_classes) and list(confused) == names
    np.testing.assert_array_equal(confusion.sum(1), np.bincount(test.labels, minlength=num_classes))
    with (results / "classes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == names
    assert [int(row["num_examples"]) for row in rows] == confusion.sum(1).tolist()
    signals = load_file(results / "signals.safetensors")
    assert int(signals["train/labels"].max()) == num_classes - 1
    assert json.loads((results / "diagnosis.json").read_text())["verdict"]
    for name in ("confusion", "per_class", "mistakes", "diagnosis", "predictions"):
        assert min(Image.open(results / f"{name}.png").size) > 200


def _check_predictions(root: Path, num_classes: int, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = str(root / "photos" / "class_00")
    capsys.readouterr()
    assert cli.call("predict", [pictures, "name=own", "output=json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for form in ("text", "inputs"):
        with pytest.raises(ConfigError, match="raw=true: has no effect on own, a model of data="):
            cli.call("predict", [pictures, "name=own", "raw=true", f"output={form}"])
    assert len(found) == len(list(Path(pictures).iterdir()))
    assert {p["class"] for p in found} <= {f"class_{i:02}" for i in range(num_classes)}
    # Too few validation images to compare with: that is not "like the training data".
    assert {p["unlike_training_data"] for p in found} == {None}
    assert (root / "results/own/predictions.png").is_file()


def test_the_weighted_loss_is_that_of_the_kept_network(photos: tuple[Path, list[str]]) -> None:
    root, data = photos
    weighted = ["loss.class_weights=balanced", "trainer.precision=32", "tracking=none"]
    assert cli.call("train", ["name=own", *data, *NETWORK, *weighted]) == 0
    prepared, model = load_prepared(root / "data/processed/photos"), load_model(root / "models/own")
    logits = predict_logits(
        model.network, prepared.val.images, mean=model.mean, std=model.std
    ).astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = prepared.val.labels
    weights = balanced_weights(np.bincount(prepared.train.labels))[labels]
    classes = np.arange(prepared.card.num_classes)
    # scikit-learn divides by the sum of the weights, ours by the number of images.
    expected = log_loss(labels, shares, labels=classes, sample_weight=weights) * weights.mean()
    history = (root / "results/own/history.csv").read_text().splitlines()
    last = dict(zip(history[0].split(","), history[-1].split(","), strict=True))
    assert float(last["val/loss"]) == pytest.approx(expected, rel=1e-4)
    plain = log_loss(labels, shares, labels=classes)
    assert float(last["val/cross_entropy"]) == pytest.approx(plain, rel=1e-4)
