"""Digits by other people in MNIST's form: does a model know digits, or only this data set?

scikit-learn bundles the test part of the UCI set *Optical Recognition of Handwritten Digits*
(Alpaydin and Kaynak, 1998). It has 1,797 digits of 13 writers, not collected with MNIST's, as 8 × 8
images of 0 … 16.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.errors import DataError
from pipeline.records import ImageSet

_SMALLEST_SIDE = 8  # that of the source


def digits(image_shape: tuple[int, int, int]) -> ImageSet:
    """Return the 1,797 digits as ``[1797, C, H, W]`` uint8 images of ``image_shape = (C, H, W)``.

    Each is treated as MNIST's images were (LeCun, Cortes and Burges, THE MNIST DATABASE). It is
    scaled, with its proportions kept, until it fills the inner 20/28 of the image. Then its centre
    of mass is moved to the middle. The brightest pixel becomes 255; all channels are the same.

    Raises:
        DataError: on a shape without channels or with a side of less than 8 pixels.
    """
    channels, height, width = image_shape
    if channels < 1 or min(height, width) < _SMALLEST_SIDE:
        raise DataError(
            "The digits of other writers cannot be brought to images of shape "
            f"{list(image_shape)}: they need at least 1 channel and sides of at least "
            f"{_SMALLEST_SIDE} pixels. "
            "Set evaluation.other_sets=[] for such images."
        )
    table = _table()
    sources = table[:, :-1].reshape(-1, 8, 8)
    fitted = np.stack([fit_digit(source, height=height, width=width) for source in sources])
    images = np.repeat(fitted[:, None], channels, axis=1)
    return ImageSet(images=images, labels=table[:, -1].astype(np.int64))


def _table() -> np.ndarray:
    """Return ``[1797, 65]`` float64: 64 pixels and the class, as scikit-learn bundles them.

    Importing scikit-learn takes longer than an evaluation, so its file is read where it lies.
    """
    package = find_spec("sklearn")
    for folder in (package and package.submodule_search_locations) or ():
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    return np.column_stack([pixels, classes])


def fit_digit(source: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Bring ink ``[H, W]`` (0 is paper, any scale) to ``[height, width]`` uint8, in MNIST's form.

    It fills the inner 20/28, its centre of mass is in the middle, its darkest ink is 255. Without
    ink the result is all 0.
    """
    inked = np.asarray(source > 0)
    if not inked.any():
        return np.zeros((height, width), dtype=np.uint8)
    ink = source[_span(inked.any(axis=1))][:, _span(inked.any(axis=0))]
    scale = min(round(height * 20 / 28) / ink.shape[0], round(width * 20 / 28) / ink.shape[1])
    # Strokes then fade into the background instead of ending in a hard edge.
    ink = _surrounded(ink.astype(np.float32), 1, 1)
    rows, columns = (max(1, round(side * scale)) for side in ink.shape)
    enlarged = Image.fromarray(ink).resize((columns, rows), Image.Resampling.BICUBIC)
    around = _surrounded(np.maximum(np.asarray(enlarged), 0), height, width)
    top, left = (
        round(mass - (side - 1) / 2)
        for side, mass in zip((height, width), _center_of_mass(around), strict=True)
    )
    window = around[top : top + height, left : left + width]
    return np.rint(window * (255 / window.max())).astype(np.uint8)


def _surrounded(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return an image with rows and columns of 0 on all sides; `numpy.pad` is slow."""
    height, width = image.shape
    around = np.zeros((height + 2 * rows, width + 2 * columns), image.dtype)
    around[rows : rows + height, columns : columns + width] = image
    return around


def _center_of_mass(image: np.ndarray) -> tuple[float, float]:
    """Return row and column of the centre of mass; equal to `scipy.ndimage.center_of_mass`."""
    total = image.sum()
    height, width = image.shape
    rows, columns = np.arange(height)[:, None], np.arange(width)
    return float((image * rows).sum() / total), float((image * columns).sum() / total)


def _span(occupied: np.ndarray | np.bool_) -> slice:
    """Return the slice from the first to the last True."""
    (where,) = np.nonzero(occupied)
    return slice(int(where[0]), int(where[-1]) + 1)
