"""Digits of other writers: MNIST's form is kept, and a digit stays the digit it was."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from pipeline.data.other_writers import digits
from pipeline.errors import DataError


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (1, 28, 40)], ids=str)
def test_form(shape: tuple[int, int, int]) -> None:
    result = digits(shape)
    assert result.images.shape == (1797, *shape) and result.images.dtype == np.uint8
    assert (result.images.max(axis=(1, 2, 3)) == 255).all()
    assert (result.images == result.images[:, :1]).all()
    assert (result.labels == load_digits().target).all()


def test_ink_fills_the_box_and_its_mass_is_in_the_middle() -> None:
    images = digits((1, 28, 28)).images[:, 0]
    for image in images:
        rows, columns = np.nonzero(image)
        longest = max(np.ptp(rows), np.ptp(columns)) + 1
        assert (
            18 <= longest <= 20 + 2 * 20 / 7
        )  # and fades within one pixel of the source, a seventh of it
    assert (images[:, [0, -1], :].max() < 60) and (
        images[:, :, [0, -1]].max() < 60
    )  # nothing is cut off
    centres = np.array([ndimage.center_of_mass(image) for image in images])
    assert np.abs(centres - 13.5).max() < 0.52  # whole pixels, and the rounding of values


def test_shrunk_back_it_is_the_source() -> None:
    def thumbnail(image: np.ndarray) -> np.ndarray:
        """The ink alone, as 6 × 6 averages."""
        rows, columns = np.nonzero(image > image.max() / 8)
        ink = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        small = Image.fromarray(ink.astype(np.float32)).resize((6, 6), Image.Resampling.BOX)
        return np.asarray(small).ravel()

    images = digits((1, 28, 28)).images[:, 0]
    alike = [
        np.corrcoef(thumbnail(image), thumbnail(source))[0, 1]
        for image, source in zip(images, load_digits().images, strict=True)
    ]
    mirrored = [
        np.corrcoef(thumbnail(image[:, ::-1]), thumbnail(source))[0, 1]
        for image, source in zip(images, load_digits().images, strict=True)
    ]
    assert np.median(alike) > 0.9 > 0.5 > np.median(mirrored)


def test_classes_are_as_easily_told_apart_as_in_the_source() -> None:
    result = digits((1, 28, 28))
    pixels = result.images.reshape(1797, -1) / 255
    model = LogisticRegression(max_iter=200).fit(pixels[:1200], result.labels[:1200])
    assert model.score(pixels[1200:], result.labels[1200:]) > 0.88


@pytest.mark.parametrize("shape", [(0, 28, 28), (1, 7, 28), (1, 28, 4)], ids=str)
def test_impossible_shapes_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(DataError, match=r"at least 1 channel.*other_sets"):
        digits(shape)
