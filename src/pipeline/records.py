"""Frozen records that cross rooms: plain values and numpy arrays, no framework.

No code changes an array after its record is made: other values need a new record.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class ImageSet:
    """Labelled images of one split.

    images: ``[N, C, H, W]`` uint8, 0 (background) … 255; the rows of a table are
        ``[N, 1, 1, D]`` float32, standardised.
    labels: ``[N]`` int64, ``0 … num_classes - 1``.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        assert self.images.ndim == 4 and self.images.dtype in (np.uint8, np.float32)
        assert self.labels.shape == (len(self.images),) and self.labels.dtype == np.int64

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Column:
    """A column of a table, and how its values become numbers.

    mean, std: of the training part's numbers.  has_missing: whether the training part lacks some;
    then one number more says so.  categories: the values of the training part, each one number;
    the empty text stands for a missing one.
    """

    name: str
    kind: Literal["number", "category"]
    mean: float = 0.0
    std: float = 1.0
    has_missing: bool = False
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Baseline:
    """A cheap reference model, measured on the validation part.

    accuracy: share of correct predictions, 0 … 1.  cross_entropy: mean, nats.
    num_train: number of training images that it was fitted on.
    """

    accuracy: float
    cross_entropy: float
    num_train: int


@dataclass(frozen=True)
class DataCard:
    """The description of a prepared data set, stored as ``card.json`` beside it.

    image_shape: ``(C, H, W)``.  mean, std: per channel, of pixels scaled to 0 … 1, from the
    training part only.  class_prior_entropy: nats, of the training labels.
    class_counts: split name → images per class.  sha256: split name → hash of the split's content.
    baselines: name → reference model.  settings: those that decided the content, such as the size
    of the validation part, and of a folder of images its path; empty where they are not known.
    columns: of a table; empty for images.
    Raises `ValueError` where a split has no counts or no hash.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}  # a card with an unknown field is not ours

    name: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_prior_entropy: float
    class_counts: Mapping[str, tuple[int, ...]]
    sha256: Mapping[str, str]
    split_seed: int
    baselines: Mapping[str, Baseline]
    settings: Mapping[str, Any] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        for name in ("class_counts", "sha256"):
            if set(getattr(self, name)) != set(SPLITS):
                raise ValueError(f"{name} must have the splits {', '.join(SPLITS)}")

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)


@dataclass(frozen=True)
class Prepared:
    """A prepared data set: three splits and the card that describes them."""

    train: ImageSet
    val: ImageSet
    test: ImageSet
    card: DataCard


@dataclass(frozen=True)
class Estimate:
    """A number with its spread: ``low … high`` is the interval at ``level`` from ``n`` samples."""

    value: float
    low: float
    high: float
    n: int
    level: float = 0.95


@dataclass(frozen=True)
class EpochRecord:
    """The numbers of one finished epoch: ``metrics`` maps a name such as ``val/loss`` to a number.

    epoch: 0-based.  step: optimizer steps taken since the start of the run.
    """

    epoch: int
    step: int
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SignalRecord:
    """The signals of a network, before its first step and after each epoch (docs/signals.md).

    arrays: name → array; with one row a moment the shape is ``[E, …]``, as of ``epochs``.
    metadata: name → JSON text: ``layers``, ``activations``, ``num_classes``, ``version``.
    """

    arrays: Mapping[str, np.ndarray]
    metadata: Mapping[str, str]


def best_epoch(rows: Sequence[EpochRecord]) -> EpochRecord | None:
    """Return the first epoch with the lowest finite ``val/loss``; None when no epoch has one."""
    measured = [row for row in rows if math.isfinite(row.metrics.get("val/loss", math.nan))]
    return min(measured, key=lambda row: row.metrics["val/loss"], default=None)
