"""The fixed examples: their choice by class and seed, and loaders that cannot give any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    SubsetRandomSampler,
    TensorDataset,
)

from own_module import OwnModule, dense, examples, measured, silent_trainer
from pipeline.errors import TrainingError
from pipeline.training.samples import draw_sample, given_sample
from pipeline.training.signals import Signals


class Labelled(TensorDataset):
    """70 images of class 0 and 30 of class 1, known beforehand as in torchvision's data sets."""

    def __init__(self) -> None:
        self.targets = [0] * 70 + [1] * 30
        super().__init__(torch.arange(100.0), torch.tensor(self.targets))


def drawn(seed: int, *, size: int = 10) -> tuple[Tensor, Tensor]:
    """Images and labels of a sample; each image is its own index."""
    sample = draw_sample(DataLoader(Labelled(), batch_size=4), size=size, seed=seed)
    return torch.cat([images for images, _ in sample]), sample.labels


def test_a_sample_has_the_classes_in_proportion() -> None:
    assert torch.bincount(drawn(seed=0)[1]).tolist() == [7, 3]


def test_the_seed_alone_decides_a_sample() -> None:
    assert torch.equal(drawn(seed=0)[0], drawn(seed=0)[0])
    assert not torch.equal(drawn(seed=0)[0], drawn(seed=1)[0])


def test_a_sample_of_more_than_there_is_holds_every_image_once() -> None:
    images, _ = drawn(seed=0, size=1000)
    assert images.sort().values.tolist() == list(range(100))


@pytest.mark.parametrize("batched", [False, True])
def test_a_sample_is_of_the_part_that_the_sampler_draws_from(batched: bool) -> None:
    """Two loaders may split one data set by their samplers, as tutorials do."""
    sampler = SubsetRandomSampler(range(60, 90))
    options: Any = {"sampler": sampler, "batch_size": 4}
    if batched:
        options = {"batch_sampler": BatchSampler(sampler, 4, drop_last=True)}
    sample = draw_sample(DataLoader(Labelled(), **options), size=15, seed=0)
    images = torch.cat([images for images, _ in sample])
    assert set(images.tolist()) <= set(range(60, 90))
    assert torch.bincount(sample.labels).tolist() == [5, 10]
    unlabelled = DataLoader(TensorDataset(torch.arange(100.0), torch.arange(100)), **options)
    assert set(draw_sample(unlabelled, size=99, seed=0).labels.tolist()) == set(range(60, 90))


def test_drawing_does_not_advance_the_loader() -> None:
    orders = []
    for draws in (False, True):
        generator = torch.Generator().manual_seed(3)
        loader: Any = DataLoader(Labelled(), batch_size=10, shuffle=True, generator=generator)
        if draws:
            draw_sample(loader, size=10, seed=0)
        orders.append(torch.cat([images for images, _ in loader]))
    assert torch.equal(*orders)


def test_given_examples_stay_in_their_order_in_batches_of_200() -> None:
    sample = given_sample(torch.arange(450.0), torch.arange(450))
    assert [len(labels) for _, labels in sample] == [200, 200, 50]
    assert torch.cat([images for images, _ in sample]).tolist() == list(range(450))


class Stream(IterableDataset[tuple[Tensor, Tensor]]):
    """Examples without an index."""

    def __iter__(self):
        return iter(zip(*examples().tensors, strict=True))


def fit_a_stream(folder: Path, signals: Signals) -> None:
    module = OwnModule(dense(16, 4, 3, activation=nn.ReLU))
    silent_trainer(folder, [signals]).fit(module, DataLoader(Stream(), batch_size=16))


def test_a_stream_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"Stream is not such a data set.*train_sample="):
        fit_a_stream(tmp_path, Signals())


def test_a_stream_is_measured_on_given_examples(tmp_path: Path) -> None:
    images, labels = examples().tensors
    signals = Signals(train_sample=(images, labels), val_sample=(images, labels))
    fit_a_stream(tmp_path, signals)
    np.testing.assert_array_equal(signals.record().arrays["train/labels"], labels)


def test_labels_that_are_not_class_indices_are_refused(tmp_path: Path) -> None:
    images, labels = examples().tensors
    data = TensorDataset(images, labels.float())
    with pytest.raises(TrainingError, match="int64 label"):
        measured(dense(16, 4, 3, activation=nn.ReLU), tmp_path, data, num_sanity_val_steps=0)
