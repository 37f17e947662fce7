"""3,000 true MNIST images for tests, without a download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.data.prepare import build_prepared, take
from pipeline.data.split import stratified_fraction
from pipeline.data.store import write_prepared as store_prepared
from pipeline.records import Baseline, ImageSet, Prepared

FIXTURE = Path(__file__).parent / "fixtures" / "mnist_small.npz"

# As `fit_baselines` measured them on the full fixture; tests/data/test_baselines.py compares.
BASELINES = {
    "logistic_regression": Baseline(accuracy=0.888, cross_entropy=0.4134, num_train=2000),
    "random_features": Baseline(accuracy=0.928, cross_entropy=0.2513, num_train=2000),
}


def load_images(split: str) -> ImageSet:
    """``split``: train (2,000 images), val (500) or test (500); ``[N, 1, 28, 28]`` uint8."""
    with np.load(FIXTURE) as arrays:
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
    return ImageSet(images=images[:, np.newaxis], labels=labels.astype(np.int64))


def load_prepared(*, num_train: int = 2000) -> Prepared:
    """The prepared data set in memory, with a stratified ``num_train`` of the training images."""
    train = load_images("train")
    if num_train < len(train):
        train = take(
            train, stratified_fraction(train.labels, fraction=num_train / len(train), seed=0)
        )
    return build_prepared(
        train,
        load_images("val"),
        load_images("test"),
        name="mnist",
        class_names=tuple("0123456789"),
        split_seed=0,
        baselines=BASELINES,
    )


def write_prepared(directory: Path, *, num_train: int = 2000) -> None:
    """Write what ``pipeline preprocess`` would leave in ``directory``, in a few milliseconds."""
    store_prepared(load_prepared(num_train=num_train), directory)
