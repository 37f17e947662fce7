"""The Lightning adapter of `pipeline.data.batches`: images on the trainer's device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytorch_lightning as lightning
import torch

from pipeline.data.batches import (
    Augmentation,
    Batches,
    DeviceStore,
    EpochOrder,
    Store,
    StreamStore,
    fits,
)
from pipeline.data.label_noise import shuffled_labels
from pipeline.data.prepare import take
from pipeline.data.split import stratified_fraction
from pipeline.records import ImageSet, Prepared

# The outputs of a convolution reuse memory at this size. At 500, half of the runs took twice as
# long.
EVALUATION_BATCH = 125


@dataclass(frozen=True)
class Batching:
    """Choice and order of the training images.

    batch_size: images a step and process, or "all".
    fraction: share of the training part that is used, stratified by class.
    label_noise: share of the used images whose labels are shuffled, see `shuffled_labels`.
    overfit_batches: how many batches to train on; 0 means all.
    sample_size: how many training images the ``train/`` numbers are measured on.
    stream: whether images are read from the disk when they are needed.
    balanced: whether an epoch shows all classes equally often.
    """

    batch_size: int | Literal["all"]
    fraction: float
    label_noise: float
    label_noise_seed: int
    overfit_batches: int
    sample_size: int
    stream: bool | Literal["auto"]
    channels_last: bool
    seed: int
    balanced: bool = False


class Images(lightning.LightningDataModule):
    """The training batches; the validation part and a fixed training sample for measurements."""

    def __init__(
        self,
        prepared: Prepared,
        batching: Batching,
        *,
        augmentation: Augmentation | None,
        module_is_own: bool = False,
    ) -> None:
        super().__init__()
        self.module_is_own = module_is_own
        self.prepared = prepared
        self.batching = batching
        self.augmentation = augmentation
        self.train_indices = self._train_indices()
        self.streams = False

    def _train_indices(self) -> torch.Tensor:
        b = self.batching
        labels = self.prepared.train.labels
        indices = torch.from_numpy(stratified_fraction(labels, fraction=b.fraction, seed=b.seed))
        if b.overfit_batches and b.batch_size != "all":
            order = torch.randperm(len(indices), generator=torch.Generator().manual_seed(b.seed))
            indices = indices[order[: b.overfit_batches * b.batch_size]]
        return indices

    def steps_per_epoch(self, *, world_size: int) -> int:
        """Return how many optimizer steps an epoch has; processes share the training part."""
        order = EpochOrder(
            self.train_indices,
            batch_size=self._batch_size(),
            seed=self.batching.seed,
            shuffle=True,
            world_size=world_size,
        )
        return len(order)

    def _batch_size(self) -> int:
        size = self.batching.batch_size
        return len(self.train_indices) if size == "all" else size

    def setup(self, stage: str) -> None:
        """Copy the images to the trainer's device; print a line when they stay on the disk."""
        assert self.trainer is not None
        self.device = self.trainer.strategy.root_device
        train, val = self._train_images(), self.prepared.val
        wanted = self.batching.stream
        self.streams = not fits(train, device=self.device) if wanted == "auto" else wanted
        if self.streams and wanted == "auto" and self.trainer.is_global_zero:
            size = train.images.nbytes / 2**30
            print(
                f"The training images ({size:.1f} GiB) do not fit into memory. "
                "Each batch is read from the disk."
            )
        self.train_store = self._store(train)
        self.val_store = self._store(val)

    def training_part(self) -> ImageSet:
        """Return the images that are trained on, with their labels in training."""
        images = self._train_images()
        if len(self.train_indices) == len(images):
            return images
        return take(images, self.train_indices.numpy())

    def class_counts(self) -> np.ndarray:
        """Return how many images of each class are trained on, ``[K]``."""
        labels = self._train_images().labels[self.train_indices.numpy()]
        return np.bincount(labels, minlength=self.prepared.card.num_classes)

    def _train_images(self) -> ImageSet:
        b, train = self.batching, self.prepared.train
        if b.label_noise == 0:
            return train
        among = self.train_indices.numpy()
        labels = shuffled_labels(
            train.labels, among=among, share=b.label_noise, seed=b.label_noise_seed
        )
        return ImageSet(images=train.images, labels=labels)

    def _store(self, images: ImageSet) -> Store:
        kind = StreamStore if self.streams else DeviceStore
        return kind(images, device=self.device)

    def train_dataloader(self) -> Batches:
        """Return the shuffled, augmented training batches."""
        order = self._order(self.train_indices, batch_size=self._batch_size(), shuffle=True)
        return self._batches(self.train_store, order, self.augmentation)

    def val_dataloader(self) -> Batches | list[Batches]:
        """Return what is validated: both parts, or the first for a module of a person's own."""
        batches = self.measured_batches()
        return batches[0] if self.module_is_own else batches

    def measured_batches(self) -> list[Batches]:
        """Return the validation part and the sample, in the order of `module.EVALUATED`."""
        everything = torch.arange(len(self.val_store))
        sample = _sample(self.train_indices, self.batching.sample_size, self.batching.seed)
        pairs = [(self.val_store, everything), (self.train_store, sample)]
        return [
            self._batches(
                store, self._order(index, batch_size=EVALUATION_BATCH, shuffle=False), None
            )
            for store, index in pairs
        ]

    def _order(self, indices: torch.Tensor, *, batch_size: int, shuffle: bool) -> EpochOrder:
        assert self.trainer is not None
        balanced = shuffle and self.batching.balanced
        labels = torch.tensor(self._train_images().labels)[indices] if balanced else None
        return EpochOrder(
            indices,
            batch_size=batch_size,
            seed=self.batching.seed,
            shuffle=shuffle,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
            labels=labels,
        )

    def _batches(
        self, store: Store, order: EpochOrder, augmentation: Augmentation | None
    ) -> Batches:
        card = self.prepared.card
        return Batches(
            store,
            order=order,
            mean=card.mean,
            std=card.std,
            device=self.device,
            augmentation=augmentation,
            channels_last=self.batching.channels_last,
        )


def _sample(indices: torch.Tensor, size: int, seed: int) -> torch.Tensor:
    """Return a fixed sample of the training indices, sorted."""
    order = torch.randperm(len(indices), generator=torch.Generator().manual_seed(seed))
    return indices[order[:size]].sort().values
