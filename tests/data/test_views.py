"""Views for test-time augmentation against shifts, mirrors and rotations by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.data.views import num_views, views_of

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 3, 28, 28), dtype=np.uint8)


def views(*kinds: str, images: np.ndarray = IMAGES) -> list[np.ndarray]:
    return list(views_of(images, kinds))


def test_the_images_themselves_come_first_and_stay_as_they_are() -> None:
    before = IMAGES.copy()
    first, *others = views("flip", "shift", "rotation")
    assert first is IMAGES and len(others) == 7
    np.testing.assert_array_equal(IMAGES, before)


@pytest.mark.parametrize("kinds", [[], ["flip"], ["shift"], ["rotation", "flip", "flip"]], ids=str)
def test_the_number_of_views_is_known_before(kinds: list[str]) -> None:
    found = views(*kinds)
    assert len(found) == num_views(kinds)
    assert all(v.shape == IMAGES.shape and v.dtype == np.uint8 for v in found)


def test_a_mirrored_view_is_its_own_inverse() -> None:
    _, mirrored = views("flip")
    np.testing.assert_array_equal(mirrored[..., 0], IMAGES[..., -1])
    np.testing.assert_array_equal(views("flip", images=mirrored)[1], IMAGES)


@pytest.mark.parametrize(("side", "pixels"), [(8, 1), (28, 1), (96, 3)])
def test_shifts_are_a_share_of_the_side_and_let_background_in(side: int, pixels: int) -> None:
    images = np.full((1, 1, side, side), 9, dtype=np.uint8)
    _, up, down, left, right = views("shift", images=images)
    for moved, edge in (
        (up, np.s_[..., -pixels:, :]),
        (down, np.s_[..., :pixels, :]),
        (left, np.s_[..., -pixels:]),
        (right, np.s_[..., :pixels]),
    ):
        assert not moved[edge].any() and (moved == 9).sum() == side * (side - pixels)


def test_rotations_keep_the_middle_and_mirror_each_other() -> None:
    dot = np.zeros((1, 1, 29, 29), dtype=np.uint8)
    dot[0, 0, 14, 14] = 200
    _, left, right = views("rotation", images=dot)
    assert left[0, 0, 14, 14] == right[0, 0, 14, 14] == 200
    bar = np.zeros((1, 1, 29, 29), dtype=np.uint8)
    bar[0, 0, :, 14] = 200
    _, left, right = views("rotation", images=bar)
    np.testing.assert_array_equal(left, right[..., ::-1])
    assert not np.array_equal(left, bar)
