"""What tells pictures unlike the training data from others: fitted, and asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from pipeline.data.prepare import take
from pipeline.evaluation.familiarity import LEAST_REFERENCE, Familiarity, fit_familiarity
from pipeline.models.features import features_of
from pipeline.models.saved import SavedModel, load_familiarity
from pipeline.records import Prepared

MOST_TRAIN, MOST_VAL = 4_000, 5_000


def measure_familiarity(network: nn.Module, data: Prepared, *, seed: int = 0) -> Familiarity | None:
    """Fit to training images; validation images give the limit. None where that is not possible.

    network: on the CPU, in evaluation mode.  At most 4,000 and 5,000 images are used, chosen by
    the seed.  It is not possible with fewer than 50 validation images, for a network without a
    layer that has weights, and where its features are not finite.
    """
    if len(data.val) < LEAST_REFERENCE:
        return None
    generator = np.random.default_rng(seed)
    chosen = [
        take(part, np.sort(generator.permutation(len(part))[:most]))
        for part, most in ((data.train, MOST_TRAIN), (data.val, MOST_VAL))
    ]
    mean, std = data.card.mean, data.card.std
    train, val = (features_of(network, part.images, mean=mean, std=std) for part in chosen)
    finite = all(np.isfinite(values).all() for values in (*train, *val))
    if not train or not finite:
        return None
    return fit_familiarity(train, val, train_images=chosen[0].images, val_images=chosen[1].images)


@dataclass(frozen=True)
class Compared:
    """How like the training images others are. p_values: ``[N]``.  limit: below it, unlike."""

    p_values: list[float]
    limit: float


def compared_with_training(images: np.ndarray, model: SavedModel, folder: Path) -> Compared | None:
    """Return the p-value of each image ``[N, C, H, W]`` being like the training images.

    None for a model that has no measure of it: of an earlier version, or of few validation images.
    """
    familiarity = load_familiarity(folder)
    if familiarity is None:
        return None
    features = features_of(model.network, images, mean=model.mean, std=model.std)
    return Compared(familiarity.p_values(features, images).tolist(), familiarity.limit)
