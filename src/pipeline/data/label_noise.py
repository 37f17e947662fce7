"""Wrong labels on purpose, to see the effect of label noise on a training."""

from __future__ import annotations

import numpy as np


def shuffled_labels(
    labels: np.ndarray, *, among: np.ndarray, share: float, seed: int
) -> np.ndarray:
    """Return the labels with those of a random ``share`` of the images in ``among`` shuffled.

    labels: ``[N]`` int64.  among: ``[M]`` indices into them.  share: 0 … 1; with 1 the labels say
    nothing about the images.  The number of labels of each class stays the same.  Some labels stay
    true by chance: with ten equal classes, a tenth of the shuffled ones.
    """
    generator = np.random.default_rng(seed)
    chosen = generator.permutation(among)[: round(share * len(among))]
    noisy = labels.copy()
    noisy[chosen] = labels[generator.permutation(chosen)]
    return noisy
