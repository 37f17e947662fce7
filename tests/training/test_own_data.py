"""Reading a person's own data module: streams, and labels that are no classes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
import pytorch_lightning as lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, SubsetRandomSampler, TensorDataset

from pipeline.errors import DataError
from pipeline.training import own_data
from pipeline.training.own_data import OwnImages, read_datamodule

PICTURES = torch.arange(6 * 16, dtype=torch.uint8).reshape(6, 1, 4, 4)
CLASSES = torch.tensor([0, 1, 2, 0, 1, 2])


class Stream(IterableDataset[tuple[Tensor, Tensor]]):
    """Examples without a length and without an index."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield from zip(PICTURES, CLASSES, strict=True)


def read(loader: object, patch: pytest.MonkeyPatch) -> OwnImages:
    """Read a module with this loader for its training and its test part."""

    class Module(lightning.LightningDataModule):
        def train_dataloader(self) -> object:
            return loader

        def test_dataloader(self) -> object:
            return loader

    patch.setattr(own_data, "build", lambda *_, **__: Module())
    return read_datamodule("mine.Module", {}, allow=["mine"])


def test_a_stream_is_read_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(DataLoader(Stream(), batch_size=4), monkeypatch)
    np.testing.assert_array_equal(found.train.images, PICTURES)
    np.testing.assert_array_equal(found.test.labels, CLASSES)
    assert found.class_names == ("0", "1", "2")


def test_a_part_holds_what_its_sampler_draws_from(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = TensorDataset(PICTURES, CLASSES)
    loader = DataLoader(dataset, sampler=SubsetRandomSampler([5, 0, 3]), batch_size=2)
    found = read(loader, monkeypatch)
    np.testing.assert_array_equal(found.train.images, PICTURES[[0, 3, 5]])
    np.testing.assert_array_equal(found.train.labels, CLASSES[[0, 3, 5]])


def test_a_part_without_pictures_and_a_negative_label_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(DataError, match="has no pictures"):
        read(DataLoader(TensorDataset(PICTURES[:0], CLASSES[:0])), monkeypatch)
    with pytest.raises(DataError, match="is -1"):
        read(DataLoader(TensorDataset(PICTURES, CLASSES - 1)), monkeypatch)


def test_of_several_loaders_the_first_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    loaders = [DataLoader(TensorDataset(PICTURES, labels)) for labels in (CLASSES, 0 * CLASSES)]
    np.testing.assert_array_equal(read(loaders, monkeypatch).train.labels, CLASSES)
    with pytest.raises(DataError, match="train_dataloader\\(\\) gives nothing"):
        read([], monkeypatch)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        pytest.param(CLASSES[:, None], "[6, 1] of torch.int64", id="column"),
        pytest.param(torch.eye(3)[CLASSES], "[6, 3] of torch.float32", id="one_hot"),
        pytest.param(CLASSES / 3, "[6] of torch.float32", id="shares"),
    ],
)
def test_labels_that_are_no_class_are_refused(
    labels: Tensor, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = DataLoader(TensorDataset(PICTURES, labels), batch_size=6)
    with pytest.raises(DataError, match=re.escape(said)):
        read(loader, monkeypatch)
