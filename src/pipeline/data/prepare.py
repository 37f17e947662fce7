"""From labelled images to a prepared data set: validation part, statistics, baselines, card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data import baselines, store
from pipeline.data.split import stratified_split
from pipeline.data.tensor_files import room
from pipeline.errors import DataError
from pipeline.records import Baseline, Column, DataCard, ImageSet, Prepared

# Mean and deviation, in units of 255, with which numbers stay as they are.
STANDARDISED = ((0.0,), (1 / 255,))
_CHUNK = 1024  # images at once


def prepare_dataset(
    train: ImageSet,
    test: ImageSet,
    *,
    name: str,
    class_names: Sequence[str],
    validation_size: int,
    split_seed: int,
    directory: Path,
    val: ImageSet | None = None,
    settings: Mapping[str, Any] | None = None,
    columns: Sequence[Column] = (),
) -> DataCard:
    """Split, measure, fit the baselines and write everything to ``directory``, all or nothing.

    val: the validation part where the data has one; without it ``validation_size`` images of the
    training part.  settings: for the card, those that decided the content.
    columns: of a table.
    The test set is stored unchanged; nothing is learned from it. The same input gives the same
    bytes (on one machine, since baselines are floating-point sums).

    Raises:
        DataError: an impossible ``validation_size``, labels that do not fit ``class_names``, or
            images of different shapes.
    """
    given = {"train": train, "test": test} | ({} if val is None else {"val": val})
    _check_splits(given, name=name, class_names=class_names)
    fit_part = train
    if val is None:
        fit_part, val = split_validation(
            train,
            size=validation_size,
            seed=split_seed,
            class_names=class_names,
            scratch=directory.parent,
        )
    fitted = baselines.fit_baselines(fit_part, val, num_classes=len(class_names), seed=split_seed)
    prepared = build_prepared(
        fit_part,
        val,
        test,
        name=name,
        class_names=class_names,
        split_seed=split_seed,
        baselines=fitted,
        settings=settings,
        columns=columns,
    )
    store.write_prepared(prepared, directory)
    return prepared.card


def split_validation(
    images: ImageSet,
    *,
    size: int,
    seed: int,
    class_names: Sequence[str] = (),
    scratch: Path | None = None,
) -> tuple[ImageSet, ImageSet]:
    """Divide the training images into ``(train, val)``: stratified and seeded.

    size: number of validation images.  class_names: for messages.  scratch: as for `take`.

    Raises:
        DataError: ``size`` is not 1 … N - 1, or no training image of some class would be left.
    """
    try:
        rest, sample = stratified_split(
            images.labels, size=size, seed=seed, class_names=class_names
        )
    except DataError as error:
        raise DataError(f"data.validation_size={size} is impossible. {error}") from error
    return take(images, rest, scratch=scratch), take(images, sample, scratch=scratch)


def take(images: ImageSet, indices: np.ndarray, *, scratch: Path | None = None) -> ImageSet:
    """Return the images at ``indices`` (``[M]`` integers), in this order.

    scratch: a folder for the copy of many images; None keeps it in memory.
    """
    if images.images.dtype != np.uint8:
        return ImageSet(images=images.images[indices], labels=images.labels[indices])
    taken = room((len(indices), *images.images.shape[1:]), directory=scratch)
    for begin in range(0, len(indices), _CHUNK):
        chunk = slice(begin, begin + _CHUNK)
        taken[chunk] = images.images[indices[chunk]]
    return ImageSet(images=taken, labels=images.labels[indices])


def build_prepared(
    train: ImageSet,
    val: ImageSet,
    test: ImageSet,
    *,
    name: str,
    class_names: Sequence[str],
    split_seed: int,
    baselines: Mapping[str, Baseline],
    settings: Mapping[str, Any] | None = None,
    columns: Sequence[Column] = (),
) -> Prepared:
    """Describe three finished splits with a card; statistics come from ``train`` alone.

    columns: of a table; its numbers are standardised already.

    Raises:
        DataError: a split is empty, has images of another shape, or labels outside ``class_names``.
    """
    splits = {"train": train, "val": val, "test": test}
    _check_splits(splits, name=name, class_names=class_names)
    mean, std = STANDARDISED if columns else pixel_statistics(train.images)
    counts = {
        split: _count(images.labels, num=len(class_names)) for split, images in splits.items()
    }
    _, channels, height, width = train.images.shape
    card = DataCard(
        name=name,
        class_names=tuple(class_names),
        image_shape=(channels, height, width),
        mean=mean,
        std=std,
        class_prior_entropy=prior_entropy(np.asarray(counts["train"])),
        class_counts=counts,
        sha256={split: store.content_sha256(images) for split, images in splits.items()},
        split_seed=split_seed,
        baselines=dict(baselines),
        settings=dict(settings or {}),
        columns=tuple(columns),
    )
    return Prepared(train=train, val=val, test=test, card=card)


def _check_splits(splits: Mapping[str, ImageSet], *, name: str, class_names: Sequence[str]) -> None:
    shape = splits["train"].images.shape[1:]
    for split, images in splits.items():
        _check_split(images, split=split, name=name, shape=shape, class_names=class_names)


def _check_split(
    images: ImageSet, *, split: str, name: str, shape: tuple[int, ...], class_names: Sequence[str]
) -> None:
    if len(images) == 0:
        raise DataError(
            f"The {split} part of {name} is empty; it needs at least one image. Add images."
        )
    if images.images.shape[1:] != shape:
        raise DataError(
            f"The {split} part of {name} has images of shape {list(images.images.shape[1:])}, "
            f"the train part {list(shape)}; all must agree. Resize or convert them alike."
        )
    low, high = int(images.labels.min()), int(images.labels.max())
    if low < 0 or high >= len(class_names):
        raise DataError(
            f"The {split} part of {name} has labels {low} … {high}; {len(class_names)} class names "
            f"allow 0 … {len(class_names) - 1}. Correct the labels or the class names."
        )


def _count(labels: np.ndarray, *, num: int) -> tuple[int, ...]:
    return tuple(int(count) for count in np.bincount(labels, minlength=num))


def pixel_statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and population standard deviation per channel, of pixels scaled to 0 … 1.

    images: ``[N, C, H, W]`` uint8. Both are exact: they come from a channel's integer histogram.
    """
    values = np.arange(256) / 255.0
    means, stds = [], []
    for channel in range(images.shape[1]):
        histogram = np.zeros(256, np.int64)
        for begin in range(0, len(images), _CHUNK):
            pixels = images[begin : begin + _CHUNK, channel].ravel()
            histogram += np.bincount(pixels, minlength=256)
        mean = float(histogram @ values / histogram.sum())
        means.append(mean)
        stds.append(float(np.sqrt(histogram @ (values - mean) ** 2 / histogram.sum())))
    return tuple(means), tuple(stds)


def prior_entropy(class_counts: np.ndarray) -> float:
    """Return the entropy of the class frequencies in nats: the cross-entropy of the prior.

    class_counts: ``[C]`` integers, at least one positive; an absent class adds nothing.
    """
    shares = class_counts[class_counts > 0] / class_counts.sum()
    return float(-(shares * np.log(shares)).sum()) + 0.0
