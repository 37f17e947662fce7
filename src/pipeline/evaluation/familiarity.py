"""A score of how unlike the training data an image is, from what the network computes of it.

For each of the network's last layers: the distance of the layer's inputs to those of the nearest
training image, as 1 minus the cosine of the angle (Sun et al., Out-of-Distribution Detection with
Deep Nearest Neighbors, 2022). Then the squared Mahalanobis distance of the pixels, with one
variance for all directions beyond the first components (Moghaddam and Pentland, Probabilistic
Visual Learning for Object Representation, 1997). All distances are brought to one scale on
validation images, and the largest one counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.data.baselines import reduced

NUM_COMPONENTS = 50
MOST_NUMBERS = 1024  # of an image; larger ones are reduced to at most 16 pixels a side
_SIDE = 16
UNFAMILIAR = 0.01  # the share of false warnings among images like the training ones
LEAST_REFERENCE = 50  # validation images; below 100 the share is 1 / (1 + their number)
_CHUNK = 1000
_FIRST = (250, 1000)  # training images that are compared with first


@dataclass(frozen=True)
class LayerDistance:
    """The distances of one layer.

    bank: ``[M, D]`` float16, features of training images, each of length 1.  middle, spread: of
    validation images: the median of their distances, and how far above it their highest percent
    begins.
    """

    bank: np.ndarray
    middle: float = 0.0
    spread: float = 1.0

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Return the scaled distance ``[N]`` of features ``[N, D]`` from the nearest of the bank.

        Features that are all 0 have no direction: their distance is 1.
        """
        bank = self.bank.astype(np.float32).T
        # One array for the products of all parts: 16 MB of fresh memory each time are slow.
        products = np.empty((min(len(features), _CHUNK), bank.shape[1]), np.float32)
        parts = [features[i : i + _CHUNK] for i in range(0, len(features), _CHUNK)]
        nearest = [np.matmul(unit(part), bank, out=products[: len(part)]).max(1) for part in parts]
        return _scaled(1 - np.concatenate(nearest).astype(np.float64), self)

    def beyond(self, features: np.ndarray, limit: float) -> np.ndarray:
        """Return whether ``scores`` of features ``[N, D]`` is above a limit: ``[N]`` bool.

        Most features are near one of the first training images, and need no other ones. A score
        that is not a number is above every limit.
        """
        bank = self.bank.astype(np.float32)
        parts = np.split(bank, [size for size in _FIRST if size < len(bank)])
        chunks = [features[i : i + _CHUNK] for i in range(0, len(features), _CHUNK)]
        return np.concatenate([self._beyond(chunk, limit, parts) for chunk in chunks])

    def _beyond(self, chunk: np.ndarray, limit: float, parts: Sequence[np.ndarray]) -> np.ndarray:
        # Two sums of D products in other orders differ by less: Higham, Accuracy and Stability of
        # Numerical Algorithms, 2002, 3.5.
        reach = 1.01 * chunk.shape[1] * float(np.finfo(np.float32).eps) / self.spread
        directions, scores = unit(chunk), np.full(len(chunk), np.inf)
        for part in parts:
            rows = np.flatnonzero(~(scores <= limit - reach))
            nearest = (directions[rows] @ part.T).max(1).astype(np.float64)
            scores[rows] = np.minimum(scores[rows], _scaled(1 - nearest, self))
        if (np.abs(scores - limit) <= reach).any():
            scores = self.scores(chunk)  # the order of the sum decides
        return ~(scores <= limit)


@dataclass(frozen=True)
class PixelDistance:
    """The distances of the pixels.

    mean: ``[D]``.  components: ``[k, D]``.  variances: ``[k]``.  rest: mean variance of the other
    directions.  middle, spread: see `LayerDistance`.
    """

    mean: np.ndarray
    components: np.ndarray
    variances: np.ndarray
    rest: float
    middle: float = 0.0
    spread: float = 1.0

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Return the scaled distance ``[N]`` of images ``[N, C, H, W]`` from the training's."""
        flat = _flat(images)
        flat -= self.mean
        inside = flat @ self.components.T
        np.square(flat, out=flat)
        np.square(inside, out=inside)
        outside = np.maximum(flat.sum(1) - inside.sum(1), 0)
        return _scaled((inside / self.variances).sum(1) + outside / self.rest, self)


@dataclass(frozen=True)
class Familiarity:
    """The distances of all layers and of the pixels; the sorted scores of validation images."""

    layers: tuple[LayerDistance, ...]
    pixels: PixelDistance
    reference: np.ndarray

    def scores(self, features: Sequence[np.ndarray], images: np.ndarray) -> np.ndarray:
        """Return how unlike images are ``[N]``.

        features: by layer, each ``[N, D]``.  images: ``[N, C, H, W]``.
        """
        pairs = zip(self.layers, features, strict=True)
        found = [layer.scores(part) for layer, part in pairs]
        return np.asarray(np.max([*found, self.pixels.scores(images)], axis=0))

    def p_values(self, features: Sequence[np.ndarray], images: np.ndarray) -> np.ndarray:
        """Return the share ``[N]`` of familiar images at least as unlike: a conformal p-value.

        Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World, 2005.
        """
        nearer = np.searchsorted(self.reference, self.scores(features, images), side="left")
        farther = len(self.reference) - nearer
        return np.asarray((1 + farther) / (1 + len(self.reference)))

    @property
    def limit(self) -> float:
        """The p-value below which an image is unlike: `UNFAMILIAR`, or what few images allow."""
        num = len(self.reference)
        if LEAST_REFERENCE <= num < 1 / UNFAMILIAR:
            return 1.5 / (1 + num)  # only an image farther than all of them is below
        return UNFAMILIAR

    def num_unfamiliar(self, features: Sequence[np.ndarray], images: np.ndarray) -> int:
        """Return how many images have a p-value below `limit`, without their p-values."""
        num = len(self.reference)
        shares = (1 + num - np.arange(num + 1)) / (1 + num)
        nearer = int(np.argmax(shares < self.limit))  # as many familiar ones lie nearer, or more
        if not shares[nearer] < self.limit:
            return 0
        limit = float(self.reference[nearer - 1])
        found = ~(self.pixels.scores(images) <= limit)
        for layer, part in zip(self.layers, features, strict=True):
            found |= layer.beyond(part, limit)
        return int(found.sum())

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return its numbers by name, for a file."""
        pixels = self.pixels
        named = {
            "reference": self.reference.astype(np.float64),
            "pixels/mean": pixels.mean,
            "pixels/components": pixels.components,
            "pixels/variances": pixels.variances,
            "pixels/scale": np.array([pixels.rest, pixels.middle, pixels.spread]),
        }
        for index, layer in enumerate(self.layers):
            named[f"{index}/bank"] = layer.bank
            named[f"{index}/scale"] = np.array([layer.middle, layer.spread])
        return named


def familiarity_of(arrays: Mapping[str, np.ndarray]) -> Familiarity:
    """Return what `Familiarity.arrays` wrote. Raises `KeyError` and `ValueError` for other ones."""
    layers = []
    for index in range(sum(name.endswith("/bank") for name in arrays)):
        middle, spread = (float(value) for value in arrays[f"{index}/scale"])
        layers.append(LayerDistance(arrays[f"{index}/bank"], middle, spread))
    rest, middle, spread = (float(value) for value in arrays["pixels/scale"])
    pixels = PixelDistance(
        arrays["pixels/mean"],
        arrays["pixels/components"],
        arrays["pixels/variances"],
        rest=rest,
        middle=middle,
        spread=spread,
    )
    return Familiarity(layers=tuple(layers), pixels=pixels, reference=arrays["reference"])


def fit_familiarity(
    train: Sequence[np.ndarray],
    val: Sequence[np.ndarray],
    *,
    train_images: np.ndarray,
    val_images: np.ndarray,
) -> Familiarity:
    """Keep what training images are like; validation images give the scale and the limit.

    train, val: features by layer, each ``[N, D]``.  The images are ``[N, C, H, W]``.
    """
    layers, found = [], []
    for features, others in zip(train, val, strict=True):
        layer = LayerDistance(unit(features).astype(np.float16))
        distances = layer.scores(others)
        layers.append(_to_scale(layer, distances))
        found.append(_scaled(distances, layers[-1]))
    pixels = _fit_pixels(train_images)
    distances = pixels.scores(val_images)
    pixels = _to_scale(pixels, distances)
    found.append(_scaled(distances, pixels))
    # As `Familiarity.scores` of the validation images, without measuring them once more.
    reference = np.sort(np.max(found, axis=0))
    return Familiarity(layers=tuple(layers), pixels=pixels, reference=reference)


Distance = TypeVar("Distance", LayerDistance, PixelDistance)


def _to_scale(measure: Distance, distances: np.ndarray) -> Distance:
    """Return a measure with the scale of its own unscaled distances."""
    middle, high = (float(q) for q in np.quantile(distances, (0.5, 1 - UNFAMILIAR)))
    return replace(measure, middle=middle, spread=max(high - middle, 1e-6))


def _scaled(distances: np.ndarray, measure: LayerDistance | PixelDistance) -> np.ndarray:
    return np.asarray((distances - measure.middle) / measure.spread)


def _fit_pixels(images: np.ndarray) -> PixelDistance:
    flat = _flat(images)
    mean = flat.mean(0)
    flat -= mean
    count = max(min(NUM_COMPONENTS, flat.shape[1] - 1), 1)
    # Threads that wait for each other are no faster here, and fifty times slower beside other work.
    with threadpool_limits(1, user_api="blas"):
        of = _of_rows if len(flat) < flat.shape[1] > MOST_NUMBERS else _of_columns
        components, variances, rest = of(flat, count)
    return PixelDistance(
        mean=mean,
        components=np.ascontiguousarray(components),
        variances=np.maximum(variances, 1e-8),
        rest=max(rest, 1e-8),
    )


def _of_columns(flat: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the first components ``[k, D]``, their variances, and the mean of all others."""
    variances, vectors = np.linalg.eigh(np.atleast_2d(np.cov(flat, rowvar=False)))
    kept, others = variances[::-1][:count], variances[::-1][count:]
    return vectors.T[::-1][:count], kept, float(others.mean()) if len(others) else 0.0


def _of_rows(flat: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the same from the products of the rows: they are fewer, and a wide table has many.

    Turk and Pentland, Eigenfaces for Recognition, 1991.
    """
    products = flat @ flat.T / (len(flat) - 1)
    variances, vectors = np.linalg.eigh(products)
    count = max(1, min(count, int((variances > 1e-12 * variances[-1]).sum())))
    kept = variances[::-1][:count]
    components = vectors.T[::-1][:count] @ flat
    components /= np.maximum(np.linalg.norm(components, axis=1, keepdims=True), 1e-12)
    others = float(np.trace(products) - kept.sum())
    return components, kept, others / (flat.shape[1] - count)


def _flat(images: np.ndarray) -> np.ndarray:
    """Return ``[N, D]`` float64, 0 … 1, with at most `MOST_NUMBERS` of pixels in small images."""
    if images[0].size > MOST_NUMBERS and min(images.shape[2:]) > 1:
        images = reduced(images, factor=-(-min(images.shape[2:]) // _SIDE))
    flat = images.reshape(len(images), -1).astype(np.float64)
    flat /= 255
    return np.asarray(flat)


def unit(features: np.ndarray) -> np.ndarray:
    """Return vectors ``[N, D]`` scaled to length 1, float32; zeros stay zeros."""
    values = features.astype(np.float32)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12))
