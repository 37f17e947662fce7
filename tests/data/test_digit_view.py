"""Pictures of digits from anywhere, brought to the form of MNIST's images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from pipeline.data.decode import decode_grey
from pipeline.data.digit_view import as_mnist, otsu
from small_mnist import load_images

TEST = load_images("test")


def drawn(*, dark_on_light: bool = True, size: tuple[int, int] = (120, 90)) -> np.ndarray:
    """A stroke like a 1, off the middle."""
    image = np.full(size, 255 if dark_on_light else 0, dtype=np.uint8)
    image[20:80, 15:25] = 30 if dark_on_light else 225
    return image


@pytest.mark.parametrize("index", range(5))
def test_mnist_s_own_images_come_back_bit_for_bit(index: int) -> None:
    image = TEST.images[index, 0]
    np.testing.assert_array_equal(as_mnist(image), image)


@pytest.mark.parametrize("dark_on_light", [True, False])
@pytest.mark.parametrize("size", [(120, 90), (300, 100), (84, 28)])
def test_a_drawn_digit_is_white_on_black_in_the_middle(
    dark_on_light: bool, size: tuple[int, int]
) -> None:
    found = as_mnist(drawn(dark_on_light=dark_on_light, size=size))
    assert found.shape == (28, 28) and found.dtype == np.uint8 and found.max() == 255
    assert not found[0].any() and not found[:, 0].any()
    centre = ndimage.center_of_mass(found)
    assert centre == pytest.approx((13.5, 13.5), abs=0.75)
    rows = np.flatnonzero(found.max(1) > 127)
    assert 18 <= rows[-1] - rows[0] + 1 <= 21  # the 20 pixels that MNIST's digits are high


def test_dark_on_light_and_light_on_dark_look_the_same() -> None:
    np.testing.assert_allclose(
        as_mnist(drawn()).astype(int), as_mnist(255 - drawn()).astype(int), atol=1
    )


def test_a_picture_in_mnist_s_form_stays_as_it_is() -> None:
    once = as_mnist(drawn())
    np.testing.assert_array_equal(as_mnist(once), once)


@pytest.mark.parametrize("level", [0, 100, 255])
def test_a_blank_picture_has_no_ink(level: int) -> None:
    assert not as_mnist(np.full((60, 40), level, dtype=np.uint8)).any()


def test_otsu_parts_two_levels_in_the_middle() -> None:
    image = np.array([[10] * 50 + [200] * 20], dtype=np.uint8)
    assert 10 <= otsu(image) < 200


def test_transparent_and_turned_pictures_are_read_as_people_see_them(tmp_path: Path) -> None:
    ink = np.zeros((120, 90, 4), dtype=np.uint8)
    ink[20:80, 15:25] = (0, 0, 0, 255)
    Image.fromarray(ink).save(tmp_path / "a.png")
    upright = Image.fromarray(drawn())
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter: the camera was held upright
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "b.jpg", exif=exif, quality=95)
    by_hand = as_mnist(drawn()).astype(int)
    for name in ("a.png", "b.jpg"):
        found = as_mnist(decode_grey(tmp_path / name)).astype(int)
        assert np.abs(found - by_hand).mean() < 6, name


@pytest.mark.parametrize(("longest", "factor"), [(None, 1), (350, 1), (201, 1), (200, 2), (100, 4)])
def test_a_large_picture_is_averaged_down(longest: int | None, factor: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 64, (400, 200), dtype=np.uint8) * 4
    Image.fromarray(pixels).save(tmp_path / "x.png")
    found = decode_grey(tmp_path / "x.png", longest=longest)
    blocks = pixels.reshape(400 // factor, factor, 200 // factor, factor).mean((1, 3))
    assert np.abs(found - blocks).max() <= 0.5
