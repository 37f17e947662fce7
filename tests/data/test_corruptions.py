"""Corruptions against closed forms: the place of an impulse, a factor, the width of noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.stats import norm

from pipeline.data.corruptions import SEVERITIES, STRENGTHS, corrupt
from pipeline.errors import ConfigError, DataError

EACH = [(name, severity) for name in STRENGTHS for severity in SEVERITIES]


def impulses(n: int, *, at: tuple[int, int] = (14, 14)) -> np.ndarray:
    images = np.zeros((n, 1, 28, 28), np.uint8)
    images[:, 0, at[0], at[1]] = 200
    return images


def strokes(n: int = 40) -> np.ndarray:
    """Bright bars of random place and size on black, in two channels."""
    generator = np.random.default_rng(7)
    images = np.zeros((n, 2, 28, 28), np.uint8)
    for image in images:
        top, left = generator.integers(6, 12, size=2)
        image[:, top : top + 10, left : left + 4] = generator.integers(150, 256)
    return images


@pytest.mark.parametrize("severity", SEVERITIES)
def test_shift_moves_an_impulse_by_so_many_pixels_in_every_direction(severity: int) -> None:
    d = (1, 2, 3, 4, 6)[severity - 1]
    moved = corrupt(impulses(200), name="shift", severity=severity, seed=0)
    assert (moved.sum(axis=(1, 2, 3)) == 200).all()
    places = {tuple(place) for place in np.argwhere(moved)[:, 2:].tolist()}
    assert places == {(14 - d, 14), (14 + d, 14), (14, 14 - d), (14, 14 + d)}


@pytest.mark.parametrize("shape", [(40, 2, 9, 12), (40, 1, 3, 5)])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_shift_is_that_of_scipy(shape: tuple[int, ...], severity: int) -> None:
    images = np.random.default_rng(1).integers(1, 256, shape).astype(np.uint8)
    moved = corrupt(images, name="shift", severity=severity, seed=0)
    d = STRENGTHS["shift"][severity - 1]
    steps = [(-d, 0), (d, 0), (0, -d), (0, d)]
    drawn = np.random.default_rng(0).integers(4, size=len(images))
    for image, after, direction in zip(images, moved, drawn, strict=True):
        np.testing.assert_array_equal(after, ndimage.shift(image, (0, *steps[direction]), order=0))


def test_shift_brings_in_background() -> None:
    moved = corrupt(np.full((8, 1, 9, 9), 255, np.uint8), name="shift", severity=3, seed=0)
    assert (np.sort(moved.mean(axis=(1, 2, 3))) == pytest.approx(255 * 6 / 9)) and (
        moved == 0
    ).any()


@pytest.mark.parametrize("severity", SEVERITIES)
def test_rotation_turns_a_dot_by_so_many_degrees_either_way(severity: int) -> None:
    images = np.zeros((60, 1, 41, 41), np.uint8)
    images[:, :, 19:22, 34:37] = 255  # a dot 15 pixels right of the centre
    turned = corrupt(images, name="rotation", severity=severity, seed=0)[:, 0].astype(float)
    rows, columns = np.mgrid[:41, :41] - 20.0
    weight = turned.sum(axis=(1, 2))
    angle = np.degrees(
        np.arctan2((turned * rows).sum((1, 2)) / weight, (turned * columns).sum((1, 2)) / weight)
    )
    degrees = 10 * severity
    assert np.abs(angle) == pytest.approx(degrees, abs=0.5)  # a tenth of a pixel
    assert {-degrees, degrees} == set(np.rint(angle / degrees) * degrees)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_noise_has_the_stated_width_where_nothing_is_cut(severity: int) -> None:
    images = np.full((50, 1, 28, 28), 128, np.uint8)
    changed = corrupt(images, name="noise", severity=severity, seed=0).astype(float)
    std = 255 * 0.08 * severity
    # Rounding adds a variance of 1/12; values beyond 0 and 255 are cut, so look at the middle half.
    lower, upper = np.quantile(changed, [0.25, 0.75])
    assert upper - lower == pytest.approx(2 * norm.ppf(0.75) * std, abs=1.5 + 0.01 * std)
    assert abs(np.median(changed) - 128) <= 1


@pytest.mark.parametrize("severity", SEVERITIES)
def test_blur_spreads_an_impulse_as_a_gaussian(severity: int) -> None:
    sigma = STRENGTHS["blur"][severity - 1]
    image = np.zeros((1, 1, 29, 29), np.uint8)
    image[0, 0, 14, 14] = 255
    blurred = corrupt(image, name="blur", severity=severity, seed=0)[0, 0].astype(float)
    kernel = np.exp(-((np.arange(29) - 14.0) ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    assert (
        np.abs(blurred - 255 * np.outer(kernel, kernel)).max() <= 0.52
    )  # half a level, and the kernel's cut


def test_blur_keeps_channels_apart() -> None:
    image = np.zeros((1, 3, 9, 9), np.uint8)
    image[0, 1] = 255
    blurred = corrupt(image, name="blur", severity=5, seed=0)
    assert blurred[0, 1].any() and not blurred[0, [0, 2]].any()


@pytest.mark.parametrize(
    ("severity", "factor"), [(1, 0.75), (2, 0.5), (3, 0.35), (4, 0.2), (5, 0.1)]
)
def test_contrast_is_a_factor_about_the_mean(severity: int, factor: float) -> None:
    image = np.array([[0, 40], [80, 240]], np.uint8).reshape(1, 1, 2, 2)  # mean 90
    expected = [90 + factor * (v - 90) for v in (0, 40, 80, 240)]
    result = corrupt(image, name="contrast", severity=severity, seed=0).ravel().astype(float)
    assert result == pytest.approx(expected, abs=0.5001)


@pytest.mark.parametrize("name", STRENGTHS)
def test_more_severe_changes_more(name: str) -> None:
    images = strokes()
    change = [
        np.abs(corrupt(images, name=name, severity=s, seed=0).astype(float) - images).mean()
        for s in SEVERITIES
    ]
    assert change[0] > 0 and all(np.diff(change) > 0)


@pytest.mark.parametrize(("name", "severity"), EACH, ids=lambda v: str(v))
def test_contract(name: str, severity: int) -> None:
    images = strokes()
    before = images.copy()
    result = corrupt(images, name=name, severity=severity, seed=5)
    assert result.shape == images.shape and result.dtype == np.uint8
    assert (images == before).all()
    assert (result == corrupt(images, name=name, severity=severity, seed=5)).all()
    assert corrupt(images[:0], name=name, severity=severity, seed=5).shape == (0, 2, 28, 28)


@pytest.mark.parametrize("name", ["shift", "rotation", "noise"])
def test_another_seed_draws_others(name: str) -> None:
    first, second = (corrupt(strokes(), name=name, severity=2, seed=seed) for seed in (0, 1))
    assert (first != second).any()


def test_unknown_names_and_severities_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"no corruption 'rotate'.*Did you mean rotation"):
        corrupt(strokes(), name="rotate", severity=1, seed=0)
    with pytest.raises(ConfigError, match=r"severity.* is 0.*evaluation\.severities"):
        corrupt(strokes(), name="shift", severity=0, seed=0)


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 28, 28), np.uint8), np.zeros((2, 1, 28, 28), np.float32)],
    ids=["3d", "float"],
)
def test_other_images_are_refused(images: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"must be \[N, C, H, W\] uint8"):
        corrupt(images, name="shift", severity=1, seed=0)
