"""Batches by index: the images are one uint8 tensor on the model's device.

No worker process and no Python per image: a batch is one ``index_select``, one scaling, one
augmentation of the whole batch. The images of an epoch depend on (seed, epoch) alone, so that a
resumed run sees exactly the images that the killed run would have seen.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pipeline.records import ImageSet

Augmentation = Callable[..., Tensor]


class Store(Protocol):
    """Images that can be gathered by index onto the training device."""

    labels: Tensor

    def gather(self, index: Tensor) -> Tensor:
        """Return ``[B, C, H, W]`` uint8 on the training device; index: ``[B]`` int64 on the CPU."""

    def __len__(self) -> int: ...


class DeviceStore:
    """All images in the memory of the device."""

    def __init__(self, images: ImageSet, *, device: torch.device) -> None:
        # A copy, since arrays mapped from a file are read-only and torch tensors are not.
        self.images = torch.tensor(images.images).to(device)
        self.labels = torch.tensor(images.labels).to(device)

    def gather(self, index: Tensor) -> Tensor:
        """See `Store.gather`."""
        return self.images.index_select(0, index.to(self.images.device, non_blocking=True))

    def __len__(self) -> int:
        return len(self.labels)


class StreamStore:
    """Images that stay in a memory-mapped file; each batch is copied to the device when needed."""

    def __init__(self, images: ImageSet, *, device: torch.device) -> None:
        self.images = images.images
        self.device = device
        self.labels = torch.tensor(images.labels).to(device)

    def gather(self, index: Tensor) -> Tensor:
        """See `Store.gather`."""
        # Reading in the order of the file means fewer jumps on the disk
        order = np.argsort(index.numpy(), kind="stable")
        rows = np.empty((len(index), *self.images.shape[1:]), dtype=self.images.dtype)
        rows[order] = self.images[index.numpy()[order]]
        return torch.from_numpy(rows).to(self.device, non_blocking=True)

    def __len__(self) -> int:
        return len(self.labels)


class EpochOrder:
    """The indices of each batch of an epoch, from (seed, epoch), sharded over processes.

    shuffle=True gives every process the same number of indices, so that gradients meet in step; a
    few indices then come twice, as in torch's DistributedSampler.  shuffle=False gives the stored
    order, in which each index comes exactly once over all processes, so that sums are exact.
    labels: ``[N]``, of the indices.  Given, a shuffled epoch of N images shows all classes equally
    often (± 1): a part of a large class, and the images of a small one several times.
    """

    def __init__(
        self,
        indices: Tensor,
        *,
        batch_size: int,
        seed: int,
        shuffle: bool,
        rank: int = 0,
        world_size: int = 1,
        labels: Tensor | None = None,
    ) -> None:
        self.indices = indices
        self.labels = labels
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; the training loop calls this before each one."""
        self.epoch = epoch

    def __len__(self) -> int:
        count, rest = divmod(len(self.indices), self.world_size)
        mine = count + (rest > 0 if self.shuffle else self.rank < rest)
        lone = self.shuffle and mine > self.batch_size > 1 and mine % self.batch_size == 1
        return -(-mine // self.batch_size) - lone

    def __iter__(self) -> Iterator[Tensor]:
        order = self.indices
        if self.shuffle:
            generator = torch.Generator().manual_seed(epoch_seed(self.seed, self.epoch))
            if self.labels is not None:
                order = order[_balanced(self.labels, generator=generator)]
            order = order[torch.randperm(len(order), generator=generator)]
            shared = -(-len(order) // self.world_size) * self.world_size
            order = order[torch.arange(shared) % len(order)]
        mine = order[self.rank :: self.world_size]
        # torch splits an empty tensor into one empty part
        batches = list(mine.split(self.batch_size)) if len(mine) else []
        # A lone last image joins the batch before it: batch norm needs two
        if len(batches) > len(self):
            batches[-2:] = [torch.cat(batches[-2:])]
        return iter(batches)


def _balanced(labels: Tensor, *, generator: torch.Generator) -> Tensor:
    """Draw as many positions as there are labels, of each class equally many."""
    classes = labels.unique()
    share, rest = divmod(len(labels), len(classes))
    lucky = set(torch.randperm(len(classes), generator=generator)[:rest].tolist())
    drawn = []
    for number, label in enumerate(classes):
        members = (labels == label).nonzero().squeeze(1)
        wanted = share + (number in lucky)
        rounds = -(-wanted // len(members))
        orders = [torch.randperm(len(members), generator=generator) for _ in range(rounds)]
        drawn += [members[torch.cat(orders)[:wanted]]] if wanted else []
    return torch.cat(drawn)


class Batches:
    """An iterable of ``(images [B, C, H, W] float32, labels [B] int64)`` on the device.

    Images are scaled to 0 … 1, augmented, then standardised by ``mean`` and ``std`` per channel.
    Lightning looks for `EpochOrder.set_epoch` in ``sampler`` and in ``batch_sampler``.
    """

    batch_sampler = None

    def __init__(
        self,
        store: Store,
        *,
        order: EpochOrder,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device,
        augmentation: Augmentation | None = None,
        channels_last: bool = False,
    ) -> None:
        self.store = store
        self.sampler = order
        self.augmentation = augmentation
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.device = device
        shift, scale = standardisation(mean, std)
        self.shift = shift.to(device)
        self.scale = scale.to(device)

    def __len__(self) -> int:
        return len(self.sampler)

    def fixed(self, indices: Tensor, *, batch_size: int) -> Batches:
        """Return chosen images of the same store, in the order given, without augmentation."""
        other = copy.copy(self)
        other.sampler = EpochOrder(
            indices, batch_size=batch_size, seed=self.sampler.seed, shuffle=False
        )
        other.augmentation = None
        return other

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator(self.device)
        rank_seed = epoch_seed(self.sampler.seed + 1, self.sampler.epoch, self.sampler.rank)
        generator.manual_seed(rank_seed)
        for index in self.sampler:
            pixels = self.store.gather(index)
            if self.augmentation is None:
                images = torch.addcmul(self.shift, pixels, self.scale)
            else:
                images = self.augmentation(pixels.float().div_(255.0), generator=generator)
                images = torch.addcmul(self.shift, images, self.scale * 255.0)
            labels = self.store.labels.index_select(0, index.to(self.store.labels.device))
            yield images.contiguous(memory_format=self.memory_format), labels


def standardisation(mean: Sequence[float], std: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Return ``shift, scale``, each ``[1, C, 1, 1]``: standardised = shift + scale * pixel.

    Pixels are 0 … 255; mean and std are of pixels scaled to 0 … 1.
    """
    centre = torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1)
    spread = torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1).clamp_min(1e-6)
    return -centre / spread, 1.0 / (255.0 * spread)


def epoch_seed(seed: int, epoch: int, stream: int = 0) -> int:
    """Return a 63-bit seed for one epoch of one stream of random numbers (SplitMix64's mixing)."""
    value = (
        seed * 0x9E3779B97F4A7C15 + epoch * 0xBF58476D1CE4E5B9 + stream * 0x94D049BB133111EB
    ) % 2**64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) % 2**64
    return (value ^ (value >> 31)) >> 1


def fits(images: ImageSet, *, device: torch.device, share: float = 0.5) -> bool:
    """Return whether the images take at most ``share`` of the device's free memory."""
    if device.type == "cuda":
        return images.images.nbytes <= share * torch.cuda.mem_get_info(device)[0]
    return images.images.nbytes <= share * _free_memory()


def _free_memory() -> int:
    """Return the free main memory in bytes; 2**63 where the system does not report it."""
    try:
        with open("/proc/meminfo") as lines:  # noqa: PTH123 - a file of the kernel, not of a person
            values = dict(line.split(":", 1) for line in lines)
        return int(values["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return 2**63
