"""A prepared data set on disk: ``train|val|test.safetensors`` and ``card.json`` in a folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from safetensors import SafetensorError

from pipeline.data import tensor_files
from pipeline.errors import DataError
from pipeline.files import read_record, scratch_folder, write_record
from pipeline.records import SPLITS, DataCard, ImageSet, Prepared, Split

CARD = "card.json"


def write_prepared(prepared: Prepared, directory: Path) -> None:
    """Write a prepared data set, replacing an older one only when all of it is on disk.

    ``images``: ``[N, C, H, W]`` uint8 (of a table float32), ``labels``: ``[N]`` int64. Equal
    input, equal bytes.

    Raises:
        DataError: the directory cannot be written.
    """
    try:
        with scratch_folder(directory) as scratch:
            fresh = scratch / "new"
            for split in SPLITS:
                images: ImageSet = getattr(prepared, split)
                tensors = {"images": images.images, "labels": images.labels}
                tensor_files.write(fresh / f"{split}.safetensors", tensors)
            write_record(fresh / CARD, prepared.card)
            if directory.exists():
                directory.rename(scratch / "old")
            fresh.rename(directory)
    except OSError as error:
        raise DataError(
            f"{directory} cannot be written: {error.strerror or error}. "
            "Make room or permit writing there, then run `pipeline preprocess` again."
        ) from error


def content_sha256(images: ImageSet) -> str:
    """Hash the shape, the labels (little-endian int64) and the images of a split; hexadecimal."""
    digest = hashlib.sha256(repr(images.images.shape).encode())
    digest.update(np.ascontiguousarray(images.labels, dtype="<i8").data)
    digest.update(np.ascontiguousarray(images.images).data)
    return digest.hexdigest()


def load_prepared(directory: Path) -> Prepared:
    """Load all three splits and their card. Images stay in their files until they are read.

    Raises:
        DataError: a file is missing, damaged, or does not agree with the card.
    """
    card = load_card(directory)
    train, val, test = (_load_images(directory, split, card) for split in SPLITS)
    return Prepared(train=train, val=val, test=test, card=card)


def load_for_training(directory: Path) -> Prepared:
    """Load the train and val splits and the card; the file of the test split is not opened.

    test: empty, ``[0, C, H, W]``.  Raises as ``load_prepared`` does.
    """
    card = load_card(directory)
    train, val = _load_images(directory, "train", card), _load_images(directory, "val", card)
    kind = np.float32 if card.columns else np.uint8
    nothing = ImageSet(np.empty((0, *card.image_shape), kind), np.empty(0, np.int64))
    return Prepared(train=train, val=val, test=nothing, card=card)


def load_split(directory: Path, split: Split) -> ImageSet:
    """Load one split, checked against the card; raises as ``load_prepared`` does."""
    return _load_images(directory, split, load_card(directory))


def load_card(directory: Path) -> DataCard:
    """Read ``card.json``.

    Raises:
        DataError: it is missing, or not a card.
    """
    return read_record(directory / CARD, DataCard, way_out=_way_out(directory))


def _load_images(directory: Path, split: Split, card: DataCard) -> ImageSet:
    path = directory / f"{split}.safetensors"
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is no regular file. {_way_out(directory)}")
    try:
        tensors = tensor_files.mapped(path)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise DataError(f"{path} cannot be read: {error}. {_way_out(directory)}") from error
    form = {name: (tensor.dtype.name, tensor.shape) for name, tensor in tensors.items()}
    num = sum(card.class_counts[split])
    kind = "float32" if card.columns else "uint8"
    expected = {"images": (kind, (num, *card.image_shape)), "labels": ("int64", (num,))}
    if form != expected:
        raise DataError(f"{path} holds {form}, its {CARD} says {expected}. {_way_out(directory)}")
    images = ImageSet(images=tensors["images"], labels=tensors["labels"])
    if content_sha256(images) != card.sha256[split]:
        raise DataError(
            f"{path} does not have the content that its {CARD} describes. {_way_out(directory)}"
        )
    return images


def _way_out(directory: Path) -> str:
    from pipeline.data.manifest import DATASETS

    published = directory.name in DATASETS
    chosen = f" data={directory.name}" if published else " data=image_folder data.path=<folder>"
    return f"Run `pipeline preprocess{chosen}` to make it again."
