"""The pictures of a person's own LightningDataModule, read once into plain arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset

from pipeline.config.guard import build
from pipeline.errors import DataError
from pipeline.records import ImageSet
from pipeline.training.foreign_errors import told_in_one_line
from pipeline.training.samples import positions

BATCH = 256


@dataclass(frozen=True)
class OwnImages:
    """All parts of a data module.  val: None where it has none.  notes: what was found."""

    train: ImageSet
    val: ImageSet | None
    test: ImageSet
    class_names: tuple[str, ...]
    notes: tuple[str, ...]


def read_datamodule(
    target: str, arguments: Mapping[str, Any], *, allow: Sequence[str]
) -> OwnImages:
    """Build a data module and read its training, validation and test part.

    Its batches are ``(images [B, C, H, W], labels [B])``, with uint8 pixels or floats of 0 … 1.
    Raises `ConfigError` where it cannot be built, `DataError` for other batches, and
    `ForeignCodeError` where its code fails.
    """
    module = build(target, arguments, kind=lightning.LightningDataModule, allow=allow, key="data")
    with told_in_one_line(allow, way_out="Mend it, and give the same command again."):
        module.prepare_data()
        module.setup("fit")
        train, val = _loader(module, "train"), _loader(module, "val")
        module.setup("test")
        test = _loader(module, "test")
        if train is None or test is None:
            lacking = "train_dataloader" if train is None else "test_dataloader"
            raise DataError(
                f"data._target_={target}: {lacking}() gives nothing. Write it: what is trained on "
                "and what is tested on must be different pictures."
            )
        parts = {"train": _read(train, target), "test": _read(test, target)}
        if val is not None:
            parts["val"] = _read(val, target)
        notes = tuple(_notes(train, target))
    num_classes = 1 + int(max(part.labels.max() for part in parts.values()))
    return OwnImages(
        parts["train"],
        parts.get("val"),
        parts["test"],
        _class_names(module, train.dataset, num_classes),
        notes,
    )


def _loader(module: lightning.LightningDataModule, part: str) -> Any:
    """Return the loader of a part, or None; of several, the first."""
    method: Callable[[], Any] = getattr(module, f"{part}_dataloader")
    if getattr(type(module), method.__name__) is getattr(
        lightning.LightningDataModule, method.__name__
    ):
        return None
    found = method()
    if isinstance(found, list | tuple):
        return found[0] if found else None
    return found  # its truth would be its length, which a stream has not


def _read(loader: Any, target: str) -> ImageSet:
    images, labels = [], []
    for batch in _in_order(loader):
        if not (isinstance(batch, list | tuple) and len(batch) == 2):
            raise DataError(
                f"data._target_={target}: its batches are {type(batch).__name__}, and must be "
                "pairs of images and labels. Change its data set."
            )
        images.append(_pixels(torch.as_tensor(batch[0]), target))
        labels.append(_labels(torch.as_tensor(batch[1]), target))
    if not images:
        raise DataError(
            f"data._target_={target}: one of its parts has no pictures. Give training, validation "
            "and test part at least one each, or leave val_dataloader() out."
        )
    return ImageSet(images=np.concatenate(images), labels=np.concatenate(labels))


def _in_order(loader: Any) -> Iterator[Any]:
    """Read each example that a loader draws from once, in the order of the data set."""
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return iter(loader)
    dataset = Subset(loader.dataset, positions(loader))
    return iter(DataLoader(dataset, batch_size=BATCH, collate_fn=loader.collate_fn))


def _pixels(images: Tensor, target: str) -> np.ndarray:
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise DataError(
            f"data._target_={target}: its images are {list(images.shape)}, and must be "
            "[batch, 1 or 3 channels, height, width]. Change its transforms."
        )
    if images.dtype == torch.uint8:
        return images.numpy()
    low, high = float(images.min()), float(images.max())
    if not (images.is_floating_point() and low >= 0 and high <= 1):
        raise DataError(
            f"data._target_={target}: its pixels run from {low:.3g} to {high:.3g}, and must be "
            "uint8, or floats of 0 … 1. Leave Normalize out of its transforms: the pipeline "
            "standardises by the training part."
        )
    return (images * 255).round().to(torch.uint8).numpy()


def _labels(labels: Tensor, target: str) -> np.ndarray:
    kind = labels.dtype
    if labels.ndim != 1 or kind.is_floating_point or kind.is_complex:
        raise DataError(
            f"data._target_={target}: its labels are {list(labels.shape)} of {kind}, and must be "
            "[batch] whole numbers, the index of each picture's class. Change its data set."
        )
    if len(labels) and int(labels.min()) < 0:
        raise DataError(
            f"data._target_={target}: one of its labels is {int(labels.min())}, and classes are "
            "numbered from 0. Leave pictures without a class out."
        )
    return labels.numpy().astype(np.int64)


def _notes(loader: Any, target: str) -> Iterator[str]:
    """Say where the same example differs when it is read again: a random transform."""
    dataset = getattr(loader, "dataset", None)
    if dataset is None or isinstance(dataset, IterableDataset):
        return
    first, again = (torch.as_tensor(dataset[0][0]) for _ in range(2))
    if not torch.equal(first, again):
        yield (
            f"note: {target} changes its training pictures at random. They are drawn once here. "
            "Name the transform as augment._target_ to draw anew in every epoch."
        )


def _class_names(module: Any, dataset: Any, num_classes: int) -> tuple[str, ...]:
    for holder, name in ((module, "class_names"), (dataset, "class_names"), (dataset, "classes")):
        names = getattr(holder, name, None)
        if names is not None and len(names) >= num_classes:
            return tuple(map(str, names))
    return tuple(map(str, range(num_classes)))
