"""A score of how familiar an image is to a model, from its training images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

NUM_COMPONENTS = 50
UNFAMILIAR = 0.01  # the share of false alarms among images like the training ones


@dataclass(frozen=True)
class Familiarity:
    """Principal components of training pixels, and the scores of validation images.

    mean: ``[D]``.  components: ``[k, D]``.  variances: ``[k]``.
    rest: mean variance of the other directions.
    reference: ``[n]`` sorted scores of images that training has not seen.
    """

    mean: np.ndarray
    components: np.ndarray
    variances: np.ndarray
    rest: float
    reference: np.ndarray

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Return the distance ``[N]`` of images ``[N, C, H, W]`` uint8 from the training images.

        The squared Mahalanobis distance, with one variance for all directions beyond the first
        components (Moghaddam and Pentland, Probabilistic Visual Learning for Object
        Representation, 1997).
        """
        flat = images.reshape(len(images), -1).astype(np.float64) / 255 - self.mean
        inside = flat @ self.components.T
        outside = np.maximum((flat**2).sum(1) - (inside**2).sum(1), 0)
        return np.asarray((inside**2 / self.variances).sum(1) + outside / self.rest)

    def p_values(self, images: np.ndarray) -> np.ndarray:
        """Return the share ``[N]`` of familiar images at least as far away: a conformal p-value.

        Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World, 2005.
        """
        nearer = np.searchsorted(self.reference, self.scores(images), side="left")
        farther = len(self.reference) - nearer
        return np.asarray((1 + farther) / (1 + len(self.reference)))


def fit_familiarity(train: np.ndarray, val: np.ndarray, *, seed: int = 0) -> Familiarity:
    """Fit to training images; validation images are the reference.  Both ``[N, C, H, W]`` uint8.

    At most 10,000 training images are used, chosen by the seed.
    """
    chosen = np.random.default_rng(seed).permutation(len(train))[:10_000]
    flat = train[chosen].reshape(len(chosen), -1).astype(np.float64) / 255
    mean = flat.mean(0)
    variances, vectors = np.linalg.eigh(np.cov(flat - mean, rowvar=False))
    count = min(NUM_COMPONENTS, len(variances) - 1)
    kept, others = variances[::-1][:count], variances[::-1][count:]
    unscaled = Familiarity(
        mean=mean,
        components=vectors.T[::-1][:count],
        variances=np.maximum(kept, 1e-8),
        rest=max(float(others.mean()), 1e-8),
        reference=np.zeros(0),
    )
    return replace(unscaled, reference=np.sort(unscaled.scores(val)))
