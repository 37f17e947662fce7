"""Labels that do not belong to their images, on purpose: to see what label noise does to a training."""

from __future__ import annotations

import numpy as np


def shuffled_labels(labels: np.ndarray, *, among: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return the labels with those of a random ``share`` of the images in ``among`` shuffled.

    labels: ``[N]`` int64.  among: ``[M]`` indices into them.  share: 0 … 1; with 1 no label tells anything
    about its image.  The labels of each class stay as many as they were, so a few keep their place by
    chance: of ten equal classes, a tenth of the shuffled ones stays true.
    """
    generator = np.random.default_rng(seed)
    chosen = generator.permutation(among)[: round(share * len(among))]
    noisy = labels.copy()
    noisy[chosen] = labels[generator.permutation(chosen)]
    return noisy
