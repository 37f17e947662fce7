"""Augmentations against values by hand, torchvision and scipy, and the contract of all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from torchvision.transforms.v2 import functional as torchvision

from pipeline.data.augment import Affine, Compose, Elastic, Erase, Flip, Identity, Noise, Shift
from pipeline.data.warp import affine, displace, gaussian_blur, shift

ALL = {
    "identity": Identity(),
    "shift": Shift(max_pixels=3),
    "affine": Affine(degrees=15.0, translate=0.1, scale=0.1, shear_degrees=10.0),
    "elastic": Elastic(alpha=20.0, sigma=4.0),
    "erase": Erase(probability=0.7, min_area=0.02, max_area=0.3),
    "noise": Noise(std=0.2),
    "flip": Flip(probability=0.5),
    "compose": Compose([Shift(max_pixels=2), Flip(probability=0.5), Noise(std=0.1)]),
}
RANDOM = {name: step for name, step in ALL.items() if name != "identity"}
NONE = {
    "identity": Identity(),
    "shift": Shift(max_pixels=0),
    "erase-never": Erase(probability=0.0, min_area=0.1, max_area=0.3),
    "erase-nothing": Erase(probability=1.0, min_area=0.0, max_area=0.0),
    "noise": Noise(std=0.0),
    "flip": Flip(probability=0.0),
    "compose": Compose([]),
}
NONE_INTERPOLATED = {
    "affine": Affine(degrees=0.0, translate=0.0, scale=0.0, shear_degrees=0.0),
    "elastic": Elastic(alpha=0.0, sigma=4.0),
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(batch: int = 16, channels: int = 3, height: int = 12, width: int = 15) -> torch.Tensor:
    return torch.rand(batch, channels, height, width, generator=generator(99))


def impulse(row: int, column: int, *, size: int = 9) -> torch.Tensor:
    image = torch.zeros(1, 1, size, size)
    image[0, 0, row, column] = 1.0
    return image


def where(image: torch.Tensor) -> tuple[float, float]:
    """Centre of mass (row, column) of the only image."""
    row, column = scipy.ndimage.center_of_mass(image[0, 0].numpy())
    return float(row), float(column)


# ---------------------------------------------------------------- the contract


@pytest.mark.parametrize("step", ALL.values(), ids=ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_type_and_range_stay_and_the_input_too(
    step: Any, dtype: torch.dtype, channels: int
) -> None:
    given = images(channels=channels).to(dtype)
    given[:2] = 1.0
    before = given.clone()
    result = step(given, generator=generator())
    assert (result.shape, result.dtype, result.device) == (given.shape, dtype, given.device)
    assert result.min() >= 0.0 and result.max() <= 1.0
    assert torch.equal(given, before)


@pytest.mark.parametrize("step", ALL.values(), ids=ALL)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_memory_format_stays(step: Any, channels: int, memory_format: torch.memory_format) -> None:
    given = images(channels=channels).contiguous(memory_format=memory_format)
    result = step(given, generator=generator())
    assert result.stride() == given.stride()
    plain = step(given.contiguous(), generator=generator())
    torch.testing.assert_close(result, plain, rtol=0, atol=1e-6)  # other kernels, other rounding


@pytest.mark.parametrize("step", RANDOM.values(), ids=RANDOM)
def test_only_the_generator_decides(step: Any) -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first, again, other = (step(images(), generator=generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("step", RANDOM.values(), ids=RANDOM)
def test_each_image_has_its_own_parameters(step: Any) -> None:
    same = images(batch=1).expand(16, -1, -1, -1)
    result = step(same, generator=generator())
    assert len({image.numpy().tobytes() for image in result}) > 1


@pytest.mark.parametrize("step", NONE.values(), ids=NONE)
def test_nothing_asked_is_nothing_done(step: Any) -> None:
    assert torch.equal(step(images(), generator=generator()), images())


@pytest.mark.parametrize("step", NONE_INTERPOLATED.values(), ids=NONE_INTERPOLATED)
def test_nothing_asked_is_nothing_done_up_to_rounding(step: Any) -> None:
    # 2e-6: a coordinate of up to 14 pixels in float32 is off by about 1e-6 of a pixel
    torch.testing.assert_close(step(images(), generator=generator()), images(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("step", ALL.values(), ids=ALL)
def test_an_empty_batch_stays_empty(step: Any) -> None:
    if isinstance(step, (Affine, Elastic)):
        pytest.skip("torch's grid_sample takes no empty batch")
    assert step(images(batch=0), generator=generator()).shape == (0, 3, 12, 15)


# ---------------------------------------------------------------- shift


def test_shift_moves_an_impulse_by_known_amounts() -> None:
    given = torch.cat([impulse(4, 4)] * 4)
    offsets = torch.tensor([[0, 0], [3, 0], [0, -2], [-1, 2]])  # right, down
    moved = shift(given, offsets=offsets, max_pixels=3)
    for image, (row, column) in zip(moved, [(4, 4), (4, 7), (2, 4), (6, 3)], strict=True):
        assert torch.equal(image[None], impulse(row, column))


def test_shift_fills_with_background_and_does_not_wrap() -> None:
    moved = shift(torch.ones(1, 2, 3, 4), offsets=torch.tensor([[2, -1]]), max_pixels=2)
    assert (
        moved[0, 0].tolist() == moved[0, 1].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]]
    )
    gone = shift(torch.ones(1, 1, 3, 4), offsets=torch.tensor([[0, 5]]), max_pixels=5)
    assert not gone.any()


def test_shift_reaches_every_offset_equally() -> None:
    moved = Shift(max_pixels=1)(torch.cat([impulse(4, 4)] * 9000), generator=generator())
    share = moved.mean(dim=(0, 1))[3:6, 3:6]
    assert share.sum() == pytest.approx(1.0, abs=1e-5)
    # nine places, each 1/9; five standard errors of a share of 9000
    assert (share - 1 / 9).abs().max() < 5 * math.sqrt(1 / 9 * 8 / 9 / 9000)


# ---------------------------------------------------------------- affine

CASES = {
    "turn": (30.0, (0, 0), 1.0, 0.0),
    "quarter": (90.0, (0, 0), 1.0, 0.0),
    "move": (0.0, (3, -2), 1.0, 0.0),
    "grow": (0.0, (0, 0), 1.3, 0.0),
    "shear": (0.0, (0, 0), 1.0, 20.0),
    "all": (-17.0, (-1, 2), 0.8, 12.0),
}


@pytest.mark.parametrize("size", [(12, 12), (10, 20)], ids=["square", "oblong"])
@pytest.mark.parametrize(("degrees", "pixels", "scale", "shear"), CASES.values(), ids=CASES)
def test_affine_agrees_with_torchvision(
    degrees: float, pixels: tuple[int, int], scale: float, shear: float, size: tuple[int, int]
) -> None:
    given = images(batch=2, height=size[0], width=size[1])
    expected = torchvision.affine(
        given,
        angle=degrees,
        translate=list(pixels),
        scale=scale,
        shear=[shear, 0.0],
        interpolation=torchvision.InterpolationMode.BILINEAR,
    )
    result = affine(
        given,
        degrees=torch.full((2,), degrees),
        translate=torch.tensor([pixels, pixels]) / torch.tensor([size[1], size[0]]),
        scale=torch.full((2,), scale),
        shear_degrees=torch.full((2,), shear),
    )
    torch.testing.assert_close(result, expected, rtol=0, atol=2e-5)  # float32 coordinates


def test_affine_draws_within_its_ranges() -> None:
    spot = torch.cat([impulse(10, 10, size=21)] * 400)
    moved = Affine(degrees=0.0, translate=0.2, scale=0.0, shear_degrees=0.0)(
        spot, generator=generator()
    )
    places = np.array([where(image[None]) for image in moved]) - 10
    # 0.2 · 21 = 4.2 pixels; 400 uniform draws come within 5 % of either end, but never further
    assert np.abs(places).max() <= 4.2 + 1e-4
    assert places.max(axis=0).min() > 0.95 * 4.2 and places.min(axis=0).max() < -0.95 * 4.2

    arm = torch.cat([impulse(2, 10, size=21)] * 400)
    turned = Affine(degrees=30.0, translate=0.0, scale=0.0, shear_degrees=0.0)(
        arm, generator=generator()
    )
    rows, columns = (np.array([where(image[None]) for image in turned]) - 10).T
    angles = np.degrees(np.arctan2(columns, -rows))
    # an impulse is spread over four pixels, so that its centre is off by up to half a pixel of 8
    assert np.abs(angles).max() <= 30 + 4 and angles.max() > 26 and angles.min() < -26

    square = torch.zeros(400, 1, 21, 21)
    square[:, :, 6:15, 6:15] = 1.0
    scaled = Affine(degrees=0.0, translate=0.0, scale=0.3, shear_degrees=0.0)(
        square, generator=generator()
    )
    scales = (scaled.sum(dim=(1, 2, 3)) / 81).sqrt()
    assert 0.7 - 0.02 < scales.min() < 0.73 and 1.27 < scales.max() < 1.3 + 0.02


# ---------------------------------------------------------------- elastic


@pytest.mark.parametrize("sigma", [0.5, 1.0, 4.0])
def test_blur_agrees_with_scipy(sigma: float) -> None:
    fields = torch.rand(2, 2, 12, 15, generator=generator())
    blurred = gaussian_blur(fields, sigma=sigma)
    expected = scipy.ndimage.gaussian_filter(
        fields.numpy(), sigma=(0, 0, sigma, sigma), mode="constant", truncate=4.0
    )
    np.testing.assert_allclose(blurred, expected, rtol=0, atol=1e-6)  # float32


def test_displacement_agrees_with_scipy() -> None:
    given = images(batch=3)
    displacement = 3 * torch.randn(3, 2, 12, 15, generator=generator())
    result = displace(given, displacement=displacement)
    rows, columns = np.mgrid[:12, :15]
    for index in range(3):
        right, down = displacement[index].numpy()
        for channel in range(3):
            expected = scipy.ndimage.map_coordinates(
                given[index, channel].numpy(),
                [rows + down, columns + right],
                order=1,
                mode="grid-constant",
            )
            np.testing.assert_allclose(
                result[index, channel], expected, rtol=0, atol=1e-5
            )  # float32


def test_elastic_bends_as_far_as_alpha_says() -> None:
    # On the ramp value = column / 40 a displacement of 1 pixel to the right adds 1/40
    ramp = (torch.arange(41.0) / 40).expand(64, 1, 41, 41)
    inner = (slice(None), 0, slice(16, 25), slice(16, 25))
    seen = (Elastic(alpha=10.0, sigma=2.0)(ramp, generator=generator()) - ramp)[inner] * 40
    # Uniform noise has variance 1/3; a Gaussian blur in two dimensions leaves 1 / (4 π sigma²)
    expected = 10.0 * math.sqrt(1 / 3 / (4 * math.pi * 2.0**2))
    assert seen.std().item() == pytest.approx(
        expected, rel=0.1
    )  # about 64 · 81 / 50 independent values


# ---------------------------------------------------------------- erase, noise, flip, compose


def test_erase_makes_one_rectangle_of_the_asked_area() -> None:
    area = 0.25
    result = Erase(probability=1.0, min_area=area, max_area=area)(
        torch.ones(200, 2, 20, 30), generator=generator()
    )
    shapes = set()
    for image in result:
        assert torch.equal(image[0], image[1])
        rows, columns = np.nonzero(image[0].numpy() == 0)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert height * width == len(rows)  # a full rectangle
        assert (
            (height - 0.5) * (width - 0.5) <= area * 600 <= (height + 0.5) * (width + 0.5)
        )  # rounding
        shapes.add((height, width))
    assert len(shapes) > 5
    covered = (result[:, 0] == 0).float().mean(dim=0)
    assert (covered > 0).all()  # every pixel is met, corners too


def test_erase_areas_fill_their_range() -> None:
    result = Erase(probability=1.0, min_area=0.1, max_area=0.9)(
        torch.ones(500, 1, 40, 40), generator=generator()
    )
    areas = (result == 0).float().mean(dim=(1, 2, 3))
    # half a pixel in 40 on each side, at most 5 % of a long thin one
    assert 0.09 < areas.min() < 0.14 and 0.86 < areas.max() < 0.92
    assert areas.mean().item() == pytest.approx(0.5, abs=5 * 0.8 / math.sqrt(12 * 500))


@pytest.mark.parametrize(
    "step",
    [Erase(probability=0.3, min_area=0.1, max_area=0.2), Flip(probability=0.3)],
    ids=["erase", "flip"],
)
def test_probability_is_that_of_an_image(step: Any) -> None:
    given = torch.rand(4000, 1, 6, 6, generator=generator()) * 0.9 + 0.1
    changed = (step(given, generator=generator(1)) != given).flatten(1).any(dim=1).float().mean()
    assert changed.item() == pytest.approx(0.3, abs=5 * math.sqrt(0.3 * 0.7 / 4000))


def test_flip_mirrors_left_and_right() -> None:
    result = Flip(probability=1.0)(images(), generator=generator())
    assert np.array_equal(result.numpy(), images().numpy()[..., ::-1])


def test_noise_has_the_asked_spread_and_is_clamped() -> None:
    grey = torch.full((50, 1, 28, 28), 0.5)
    noise = Noise(std=0.05)(grey, generator=generator()) - grey
    n = noise.numel()
    assert noise.std().item() == pytest.approx(0.05, rel=5 / math.sqrt(2 * n))
    assert abs(noise.mean().item()) < 5 * 0.05 / math.sqrt(n)
    black = Noise(std=0.05)(torch.zeros(50, 1, 28, 28), generator=generator())
    assert black.min() == 0 and (black > 0).float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_compose_goes_in_order_with_one_generator() -> None:
    first, second = Flip(probability=0.5), Shift(max_pixels=2)
    together = Compose([first, second])(images(), generator=generator())
    shared = generator()
    singly = second(first(images(), generator=shared), generator=shared)
    assert torch.equal(together, singly)
