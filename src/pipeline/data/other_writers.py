"""Digits by other people, brought into MNIST's form: does a model know digits, or only this data set?

scikit-learn bundles the test part of the UCI set *Optical Recognition of Handwritten Digits* (Alpaydin
and Kaynak, 1998): 1,797 digits of 13 writers, collected elsewhere than MNIST, as 8 × 8 images of 0 … 16.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

from pipeline.errors import DataError
from pipeline.records import ImageSet

_SMALLEST_SIDE = 8  # below, even the source has more pixels


def digits(image_shape: tuple[int, int, int]) -> ImageSet:
    """Return the 1,797 digits as ``[1797, C, H, W]`` uint8 images of ``image_shape = (C, H, W)``.

    Each is treated as MNIST's images were (LeCun, Cortes and Burges, THE MNIST DATABASE): scaled with
    its proportions kept until it fills the inner 20/28 of the image, then moved so that its centre of
    mass lies in the middle. The brightest pixel becomes 255; all channels are the same.

    Raises:
        DataError: on a shape without channels or with a side of less than 8 pixels.
    """
    channels, height, width = image_shape
    if channels < 1 or min(height, width) < _SMALLEST_SIDE:
        raise DataError(
            f"The digits of other writers cannot be brought to images of shape {list(image_shape)}: at least "
            f"1 channel and sides of at least {_SMALLEST_SIDE} pixels are needed. "
            "Set evaluation.other_sets=[] for such images."
        )
    from sklearn.datasets import load_digits  # takes a second, which only this call should pay

    pixels, classes = load_digits(return_X_y=True)
    sources = np.asarray(pixels).reshape(-1, 8, 8)
    fitted = np.stack([fit_digit(source, height=height, width=width) for source in sources])
    images = np.repeat(fitted[:, None], channels, axis=1)
    return ImageSet(images=images, labels=np.asarray(classes).astype(np.int64))


def fit_digit(source: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Bring ink ``[H, W]`` (0 is paper, any scale) to ``[height, width]`` uint8, as MNIST's images were made.

    Scaled until it fills the inner 20/28, its centre of mass in the middle, its darkest ink 255.
    Without ink the result is all 0.
    """
    if not np.any(source > 0):
        return np.zeros((height, width), dtype=np.uint8)
    inked = np.asarray(source > 0)
    ink = source[_span(inked.any(axis=1))][:, _span(inked.any(axis=0))]
    scale = min(round(height * 20 / 28) / ink.shape[0], round(width * 20 / 28) / ink.shape[1])
    ink = np.pad(ink, 1)  # a rim of background: strokes fade into it instead of ending in a wall
    rows, columns = (max(1, round(side * scale)) for side in ink.shape)
    enlarged = Image.fromarray(ink.astype(np.float32)).resize((columns, rows), Image.Resampling.BICUBIC)
    pixels = np.clip(np.asarray(enlarged), 0, None)
    around = np.pad(pixels, ((height, height), (width, width)))
    top, left = (
        round(mass - (side - 1) / 2)
        for side, mass in zip((height, width), ndimage.center_of_mass(around), strict=True)
    )
    window = around[top : top + height, left : left + width]
    return np.rint(window * (255 / window.max())).astype(np.uint8)


def _span(occupied: np.ndarray | np.bool_) -> slice:
    """From the first to the last True."""
    (where,) = np.nonzero(occupied)
    return slice(int(where[0]), int(where[-1]) + 1)
