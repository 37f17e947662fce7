"""Corrupted images, to measure how a model's accuracy holds up beyond clean test images.

The kinds follow MNIST-C (Mu and Gilmer, 2019) and ImageNet-C (Hendrycks and Dietterich, 2019), with
the strengths of ``STRENGTHS``, made for small images with dark backgrounds.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from pipeline.errors import ConfigError, DataError

# Strength at severity 1 … 5, in the unit beside it.
STRENGTHS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "shift": (1, 2, 3, 4, 6),  # pixels, up, down, left or right
        "rotation": (10, 20, 30, 40, 50),  # degrees, either way
        "noise": (0.08, 0.16, 0.24, 0.32, 0.40),  # standard deviation as a share of 0 … 255
        "blur": (0.5, 0.75, 1.0, 1.5, 2.0),  # standard deviation of the Gaussian, pixels
        "contrast": (0.75, 0.5, 0.35, 0.2, 0.1),  # factor on the distance from the image's mean
    }
)
SEVERITIES = (1, 2, 3, 4, 5)


def corrupt(images: np.ndarray, *, name: str, severity: int, seed: int) -> np.ndarray:
    """Return a corrupted copy of ``images [N, C, H, W]`` uint8, same shape and dtype.

    Each image has its own direction of shift and rotation and its own noise, drawn from ``seed``
    alone. They are the same at every severity, so severities differ by strength only. Values are
    rounded and clipped to 0 … 255; pixels from outside an image are background, 0. ``STRENGTHS``
    has the strengths and their units. No images give no images.

    Raises:
        ConfigError: on an unknown name or a severity that is not 1 … 5.
        DataError: when ``images`` has another shape or dtype.
    """
    _check(images, name, severity)
    strength = STRENGTHS[name][severity - 1]
    changed = _CORRUPTIONS[name](images, strength, np.random.default_rng(seed))
    return changed if changed.dtype == np.uint8 else _rounded(changed)


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _shift(images: np.ndarray, pixels: float, generator: np.random.Generator) -> np.ndarray:
    edge, (height, width) = int(pixels), images.shape[2:]
    around = np.pad(images, ((0, 0), (0, 0), (edge, edge), (edge, edge)))
    moved = np.zeros_like(images)
    directions = generator.integers(4, size=len(images))
    for direction, (down, right) in enumerate([(-1, 0), (1, 0), (0, -1), (0, 1)]):
        chosen = directions == direction
        top, left = edge - down * edge, edge - right * edge
        moved[chosen] = around[chosen][:, :, top : top + height, left : left + width]
    return moved


def _rotation(images: np.ndarray, degrees: float, generator: np.random.Generator) -> np.ndarray:
    """Bilinear, about the centre of the image."""
    from scipy import ndimage  # here: it takes a seventh of a second, and some kinds do without

    turned = np.zeros(images.shape, np.float32)
    clockwise = generator.integers(2, size=len(images)) == 1
    for chosen, angle in ((clockwise, -degrees), (~clockwise, degrees)):
        pixels = images[chosen].astype(np.float32)
        turned[chosen] = ndimage.rotate(pixels, angle, axes=(3, 2), reshape=False, order=1)
    return turned


def _noise(images: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    noise = generator.standard_normal(images.shape, dtype=np.float32)
    return images + np.float32(share * 255) * noise


def _blur(images: np.ndarray, pixels: float, generator: np.random.Generator) -> np.ndarray:
    from scipy import ndimage

    return ndimage.gaussian_filter(
        images.astype(np.float32), (0, 0, pixels, pixels), mode="constant"
    )


def _contrast(images: np.ndarray, factor: float, generator: np.random.Generator) -> np.ndarray:
    mean = images.mean(axis=(2, 3), keepdims=True, dtype=np.float32)
    return mean + np.float32(factor) * (images - mean)


_CORRUPTIONS: Mapping[str, Callable[[np.ndarray, float, np.random.Generator], np.ndarray]] = {
    "shift": _shift,
    "rotation": _rotation,
    "noise": _noise,
    "blur": _blur,
    "contrast": _contrast,
}


def _check(images: np.ndarray, name: str, severity: int) -> None:
    if name not in STRENGTHS:
        near = difflib.get_close_matches(name, STRENGTHS, n=1)
        hint = f" Did you mean {near[0]}?" if near else " Choose one of these."
        raise ConfigError(f"There is no corruption {name!r}, only {', '.join(STRENGTHS)}.{hint}")
    if severity not in SEVERITIES:
        raise ConfigError(
            f"The severity of a corruption is {severity!r}, but it must be 1, 2, 3, 4 or 5. "
            "Change evaluation.severities."
        )
    if images.ndim != 4 or images.dtype != np.uint8:
        raise DataError(
            f"Images to corrupt have shape {list(images.shape)} and dtype {images.dtype}, "
            "but they must be [N, C, H, W] uint8. Corrupt them before they are scaled."
        )
