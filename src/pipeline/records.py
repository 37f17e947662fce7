"""Frozen records that cross rooms: plain values and numpy arrays, no framework.

Arrays are never changed after a record is made; whoever needs other values makes a new record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class ImageSet:
    """Labelled images of one split.

    images: ``[N, C, H, W]`` uint8, 0 (background) … 255.
    labels: ``[N]`` int64, ``0 … num_classes - 1``.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        assert self.images.ndim == 4 and self.images.dtype == np.uint8
        assert self.labels.shape == (len(self.images),) and self.labels.dtype == np.int64

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Baseline:
    """A cheap reference model, measured on the validation part.

    accuracy: share correct, 0 … 1.  cross_entropy: mean, nats.
    num_train: how many training images it was fitted on.
    """

    accuracy: float
    cross_entropy: float
    num_train: int


@dataclass(frozen=True)
class DataCard:
    """What is known about a prepared data set; stored as ``card.json`` beside it.

    image_shape: ``(C, H, W)``.  mean, std: per channel, of pixels scaled to 0 … 1, from the
    training part only.  class_prior_entropy: nats, of the training labels.
    class_counts: split name → images per class.  sha256: split name → hash of the split's content.
    """

    name: str
    class_names: Sequence[str]
    image_shape: tuple[int, int, int]
    mean: Sequence[float]
    std: Sequence[float]
    class_prior_entropy: float
    class_counts: Mapping[str, Sequence[int]]
    sha256: Mapping[str, str]
    split_seed: int
    baselines: Mapping[str, Baseline]

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
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
    """What one finished epoch measured: ``metrics`` maps a name such as ``val/loss`` to a number.

    epoch: 0-based.  step: optimizer steps taken since the start of the run.
    """

    epoch: int
    step: int
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SignalRecord:
    """What was measured of a network before its first step and after each epoch (docs/signals.md).

    arrays: name → array; those with one row a moment begin with ``[E, …]``, as ``epochs`` does.
    metadata: name → JSON text: ``layers``, ``activations``, ``num_classes``, ``probe_size``, ``version``.
    """

    arrays: Mapping[str, np.ndarray]
    metadata: Mapping[str, str]
