"""A photographed or drawn digit in MNIST's form: white on black, centred, 20 of 28 pixels high.

LeCun, Cortes and Burges, THE MNIST DATABASE of handwritten digits. The threshold between ink and
paper is Otsu's (A Threshold Selection Method from Gray-Level Histograms, 1979).
"""

from __future__ import annotations

import numpy as np

from pipeline.data.other_writers import fit_digit

DIGIT_SETS = ("mnist", "qmnist", "kmnist", "emnist_digits")
_LEAST_CONTRAST = 16  # grey levels between ink and paper; less is noise of the sensor


def as_mnist(image: np.ndarray, *, size: int = 28) -> np.ndarray:
    """Return ``[size, size]`` uint8 of a grey image ``[H, W]`` uint8.

    An image in that form already (that size, dark border) comes back unchanged, bit for bit. Dark
    ink on light paper is inverted; the border shows which of the two is the paper. A blank image
    gives zeros.
    """
    border = np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
    paper = float(np.median(border))
    if image.shape == (size, size) and paper <= 32:
        return image.copy()
    if int(image.max()) - int(image.min()) < _LEAST_CONTRAST:
        return np.zeros((size, size), dtype=np.uint8)
    threshold = otsu(image)
    ink = image.astype(np.float64)
    ink, threshold = (255 - ink, 255 - threshold) if paper > threshold else (ink, threshold)
    # Paper is never even: pixels below the threshold fade out, so that strokes have no hard edge
    low = float(np.median(ink[ink <= threshold])) if np.any(ink <= threshold) else 0.0
    faded = np.where(ink > threshold, ink - low, np.maximum(ink - (low + threshold) / 2, 0))
    inked = ink > threshold
    rows, columns = np.flatnonzero(inked.any(1)), np.flatnonzero(inked.any(0))
    if len(rows) == 0:
        return np.zeros((size, size), dtype=np.uint8)
    return fit_digit(
        faded[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], height=size, width=size
    )


def otsu(image: np.ndarray) -> float:
    """Return the grey level that splits pixels ``[H, W]`` uint8 into two classes.

    The means of the classes differ most at this threshold (0 … 255).
    """
    counts = np.bincount(image.ravel(), minlength=256).astype(np.float64)
    below = np.cumsum(counts)
    sums = np.cumsum(counts * np.arange(256))
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    best = np.nan_to_num(between)
    levels = np.flatnonzero(best == best.max())
    return float(levels.mean())  # equally good thresholds lie side by side: the middle one
