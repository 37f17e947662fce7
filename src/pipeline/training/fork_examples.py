"""The images of the forks: those that each repeat trains on, and those for measuring."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from pipeline.data.batches import epoch_seed, standardisation
from pipeline.data.prepare import take
from pipeline.diagnosis.probes.outcome import Fork
from pipeline.diagnosis.probes.plan import BATCH_SIZE, NUM_BATCHES, REPEATS
from pipeline.evaluation.scores import log_softmax
from pipeline.models.inference import predict_logits
from pipeline.records import DataCard, ImageSet

MEASURED_IMAGES = 5000
# A separate stream of seeds, so that no fork has the order of an epoch of the run
_STREAM = 7


class ForkExamples:
    """The same examples for all forks of one model.

    train: the training images on which losses are measured.  shown: the images of each repeat.
    batches: small sets of at least two images, each to be learned alone.  num_images: of a fork.
    """

    def __init__(
        self, part: ImageSet, val: ImageSet, card: DataCard, *, num_images: int, seed: int
    ) -> None:
        self.card, self.val = card, val
        self.seeds = [epoch_seed(seed, 1 + r, _STREAM) % 2**32 for r in range(REPEATS)]
        self.shown = [_random_part(part, num_images, seed=s) for s in self.seeds]

        order = np.random.default_rng(epoch_seed(seed, 0, _STREAM)).permutation(len(part))
        self.train = take(part, np.sort(order[:MEASURED_IMAGES]))
        starts = range(0, NUM_BATCHES * BATCH_SIZE, BATCH_SIZE)
        batches = [take(part, np.sort(order[i : i + BATCH_SIZE])) for i in starts]
        self.batches = [batch for batch in batches if len(batch) > 1]

    def standardised(self, images: np.ndarray) -> torch.Tensor:
        """Return images ``[N, C, H, W]`` uint8 as the network takes them, float32."""
        shift, scale = standardisation(self.card.mean, self.card.std)
        return torch.addcmul(shift, torch.tensor(images).float(), scale)

    def measured(self, networks: Iterable[nn.Module | None]) -> Fork:
        """Return the losses of one network a repeat; a diverged repeat (None) is infinite."""
        repeats = [(self.losses(n, self.val), self.losses(n, self.train)) for n in networks]
        val, train = (np.stack(losses) for losses in zip(*repeats, strict=True))
        return Fork(val, train)

    def losses(self, network: nn.Module | None, images: ImageSet) -> np.ndarray:
        """Return the cross-entropy of each image ``[N]`` float64, in nats.

        All are infinite where the network is None or any loss is not finite.
        """
        if network is None:
            return np.full(len(images), math.inf)
        logits = predict_logits(network, images.images, mean=self.card.mean, std=self.card.std)
        logs = log_softmax(logits.astype(np.float64))
        losses = -logs[np.arange(len(images)), images.labels]
        return losses if np.all(np.isfinite(losses)) else np.full(len(images), math.inf)


def _random_part(images: ImageSet, number: int, *, seed: int) -> ImageSet:
    if number == len(images):
        return images
    return take(images, np.sort(np.random.default_rng(seed).permutation(len(images))[:number]))


def label_entropy(labels: np.ndarray) -> float:
    """Return the entropy of the classes' shares among ``labels [N]``, in nats."""
    shares = np.bincount(labels) / len(labels)
    return float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
