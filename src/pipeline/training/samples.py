"""The fixed examples on which a network is measured, read from a loader without advancing it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from pipeline.data.batches import Batches
from pipeline.data.split import allocate
from pipeline.errors import TrainingError

# A convolution's outputs then stay in the processor's cache: twice as fast as 500.
CHUNK = 200
Pair = tuple[Tensor, Tensor]
WAY_OUT = (
    "Pass the examples yourself: "
    "Signals(train_sample=(images, labels), val_sample=(images, labels))."
)


@dataclass(frozen=True)
class Sample:
    """Examples in one fixed random order, so that the first n are a random sample for any n.

    batches: pairs (images ``[B, …]``, labels ``[B]``), B ≤ 200; they can be read again and again.
    labels: ``[N]`` int64, on the CPU.
    """

    batches: Iterable[Pair]
    labels: Tensor

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.batches)


EMPTY = Sample((), torch.zeros(0, dtype=torch.int64))


def draw_sample(loader: Any, *, size: int, seed: int) -> Sample:
    """Choose ``size`` examples of a loader (all, where it has fewer), by the seed alone.

    They are stratified by class where the labels are known beforehand: `Batches` know them, and so
    does a data set with ``targets``.  Images of `Batches` come without augmentation.  The data set
    of a ``DataLoader`` is read by index, so its sampler and its generators stay where they are; its
    random transforms are drawn once.  The caller restores the global generators.

    Raises `TrainingError` for anything else, such as a stream.
    """
    if isinstance(loader, Batches):
        indices = loader.sampler.indices
        labels = loader.store.labels.cpu()[indices]
        chosen = indices[_stratified(labels.numpy(), size=size, seed=seed)]
        return Sample(loader.fixed(chosen, batch_size=CHUNK), loader.store.labels.cpu()[chosen])
    dataset = getattr(loader, "dataset", None)
    if not isinstance(loader, DataLoader) or isinstance(dataset, IterableDataset):
        kind = type(dataset if isinstance(loader, DataLoader) else loader).__name__
        raise TrainingError(
            "Signals needs examples that it can read by index, "
            f"and a {kind} is not such a data set. {WAY_OUT}"
        )
    return _from_dataset(loader, size=size, seed=seed)


def positions(loader: DataLoader[Any]) -> Sequence[int]:
    """Return the positions that a loader draws from, ascending; its sampler stays where it is.

    Two loaders may share a data set and split it by a ``SubsetRandomSampler`` each. Samplers
    without ``indices`` draw from the whole data set.
    """
    sampler = getattr(loader.batch_sampler, "sampler", loader.sampler)
    indices = getattr(sampler, "indices", None)
    if indices is None:
        return range(len(loader.dataset))  # type: ignore[arg-type]
    return sorted({int(index) for index in indices})


def given_sample(images: Tensor, labels: Tensor) -> Sample:
    """Return a sample of given examples: images ``[N, …]``, labels ``[N]``."""
    batches = list(zip(images.split(CHUNK), labels.split(CHUNK), strict=True))
    return Sample([_checked(batch) for batch in batches], labels.cpu())


def _from_dataset(loader: DataLoader[Any], *, size: int, seed: int) -> Sample:
    dataset: Any = loader.dataset
    places = torch.tensor(positions(loader), dtype=torch.int64)
    targets = getattr(dataset, "targets", None)
    if targets is not None and len(targets) == len(dataset):
        labels = np.asarray(targets, dtype=np.int64)[places.numpy()]
        chosen = places[_stratified(labels, size=size, seed=seed)]
    else:
        order = np.random.default_rng(seed).permutation(len(places))[:size]
        chosen = places[torch.from_numpy(order)]
    torch.manual_seed(seed)
    parts = [[dataset[i] for i in chunk.tolist()] for chunk in chosen.split(CHUNK)]
    batches = [_checked(loader.collate_fn(part)) for part in parts]
    return Sample(batches, torch.cat([labels.cpu() for _, labels in batches]))


def _checked(batch: Any) -> Pair:
    whole = (
        isinstance(batch, list | tuple)
        and len(batch) == 2
        and all(isinstance(b, Tensor) for b in batch)
    )
    if not whole or batch[1].ndim != 1 or batch[1].dtype != torch.int64:
        raise TrainingError(
            "Signals needs batches (images, labels) with one int64 label an image; "
            f"it got a {type(batch).__name__}. {WAY_OUT}"
        )
    return batch[0], batch[1]


def _stratified(labels: np.ndarray, *, size: int, seed: int) -> Tensor:
    """Return the positions of a stratified sample, in random order."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    if size < len(labels):
        places = allocate(np.bincount(labels), size=size)
        taken = [order[labels[order] == label][:place] for label, place in enumerate(places)]
        order = generator.permutation(np.concatenate(taken))
    return torch.from_numpy(order)
