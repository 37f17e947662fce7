"""Other views of the same pictures, for the mean of a network's answers to all of them.

Krizhevsky, Sutskever, Hinton, ImageNet Classification with Deep Convolutional Neural Networks,
2012, section 4.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

_SHIFT_SHARE = 1 / 28  # of the side; a pixel at least
_DEGREES = 7.0


def views_of(images: np.ndarray, kinds: Sequence[str]) -> Iterator[np.ndarray]:
    """Yield the images ``[N, C, H, W]`` uint8 themselves, then each view of the kinds asked for.

    kinds: ``flip`` (mirrored; one view), ``shift`` (four directions, 1/28 of the side), and
    ``rotation`` (7 degrees either way).  Pixels that enter from outside are 0.
    """
    yield images
    for kind in dict.fromkeys(kinds):
        yield from _VIEWS[kind](images)


def num_views(kinds: Sequence[str]) -> int:
    """Return how many views `views_of` yields."""
    return 1 + sum(_COUNTS[kind] for kind in dict.fromkeys(kinds))


def _flipped(images: np.ndarray) -> Iterator[np.ndarray]:
    yield np.ascontiguousarray(images[..., ::-1])


def _shifted(images: np.ndarray) -> Iterator[np.ndarray]:
    from scipy import ndimage  # here: a training needs none

    for axis in (2, 3):
        pixels = max(1, round(images.shape[axis] * _SHIFT_SHARE))
        for sign in (-1, 1):
            offset = [0, 0, 0, 0]
            offset[axis] = sign * pixels
            yield ndimage.shift(images, offset, order=0)


def _rotated(images: np.ndarray) -> Iterator[np.ndarray]:
    from scipy import ndimage

    for degrees in (-_DEGREES, _DEGREES):
        pixels = images.astype(np.float32)
        turned = ndimage.rotate(pixels, degrees, axes=(3, 2), reshape=False, order=1)
        yield np.clip(np.rint(turned), 0, 255).astype(np.uint8)


_VIEWS = {"flip": _flipped, "shift": _shifted, "rotation": _rotated}
_COUNTS = {"flip": 1, "shift": 4, "rotation": 2}
