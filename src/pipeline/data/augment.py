"""Random changes of a whole batch of images at once, with separate parameters for every image.

Every augmentation takes images ``[B, C, H, W]`` float, 0 (background) … 1, on any device.  It
returns new images of the same shape, type, range and memory format, and never changes its input.
Random numbers come from the given generator only.  They are drawn on its device and then copied to
the images' device, so that a CPU generator gives the same augmentation on every accelerator.

Pixels that enter from outside the image are background.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from pipeline.data.warp import affine, displace, gaussian_blur, shift


class Augmentation(Protocol):
    """The interface of all augmentations."""

    def __call__(self, images: Tensor, *, generator: Generator) -> Tensor:
        """Return changed images ``[B, C, H, W]``."""
        ...


@dataclass(frozen=True)
class Identity:
    """No augmentation."""

    def __call__(self, images: Tensor, *, generator: Generator) -> Tensor:
        """Return the images themselves."""
        return images


@dataclass(frozen=True)
class Shift:
    """Move by whole pixels, −max_pixels … max_pixels in each direction, without any blur."""

    max_pixels: int

    def __call__(self, images: Tensor, *, generator: Generator) -> Tensor:
        """Return the moved images."""
        limit = self.max_pixels
        offsets = torch.randint(
            -limit, limit + 1, (len(images), 2), generator=generator, device=generator.device
        )
        return shift(images, offsets=offsets.to(images.device), max_pixels=limit)


@dataclass(frozen=True)
class Affine:
    """Rotate, shear, scale and move with linear interpolation; parameters are uniform.

    degrees: −degrees … degrees.
    translate: share of the image's size, −translate … translate in each direction.
    scale: 1 − scale … 1 + scale, 0 ≤ scale < 1.
    shear_degrees: −shear_degrees … shear_degrees, below 90.
    """

    degrees: float
    translate: float
    scale: float
    shear_degrees: float

    def __call__(self, images: Tensor, *, generator: Generator) -> Tensor:
        """Return the transformed images."""
        uniform = _uniform(len(images), 5, like=images, generator=generator)
        draws = uniform.mul_(2).sub_(1).unbind(dim=1)
        return affine(
            images,
            degrees=draws[0] * self.degrees,
            translate=torch.stack(draws[1:3], dim=1) * self.translate,
            scale=1 + draws[3] * self.scale,
            shear_degrees=draws[4] * self.shear_degrees,
        )


@dataclass(frozen=True)
class Elastic:
    """Bend as a trembling hand would: a smooth random field gives each pixel its source.

    Simard, Steinkraus and Platt (2003): noise in −1 … 1, blurred with ``sigma`` pixels (> 0), times
    ``alpha`` (≥ 0, pixels).  They used sigma 4 and alpha 34 for handwritten digits of 29×29.
    """

    alpha: float
    sigma: float

    def __call__(self, images: Tensor, *, generator: Generator) -> Tensor:
        """Return the bent images."""
        batch, _, height, width = images.shape
        noise = _uniform(batch, 2, height, width, like=images, generator=generator).mul_(2).sub_(1)
        displacement = gaussian_blur(noise, sigma=self.sigma).mul_(self.alpha)
        return displace(images, displacement=displacement)


@dataclass(frozen=True)
class Erase:
    """Set a rectangle to background, with ``probability`` for each image.

    Zhong et al. (2020), Random Erasing.  The area is a share of the image, uniform in
    ``min_area … max_area`` (within 0 … 1; rounded to whole pixels).  The ratio of height to width
    is 0.3 … 3.3 times the image's, uniform in the logarithm, as far as the rectangle fits.
    """

    probability: float
    min_area: float
    max_area: float

    def __call__(self, images: Tensor, *, generator: Generator) -> Tensor:
        """Return the images with holes."""
        draws = _uniform(len(images), 5, like=images, generator=generator)
        chosen, size, form, down, right = draws.unbind(dim=1)
        area = self.min_area + size * (self.max_area - self.min_area)
        most = torch.clamp(1 / area, max=3.3).log()
        ratio = torch.exp((2 * form - 1) * most)
        rows = _covered(images.shape[2], length=(area * ratio).sqrt(), position=down)
        columns = _covered(images.shape[3], length=(area / ratio).sqrt(), position=right)
        hole = rows[:, None, :, None] & columns[:, None, None, :]
        hole = hole & (chosen < self.probability)[:, None, None, None]
        return torch.where(hole, images.new_zeros(()), images)


@dataclass(frozen=True)
class Noise:
    """Add normal noise of standard deviation ``std`` to every pixel, and clip to 0 … 1."""

    std: float

    def __call__(self, images: Tensor, *, generator: Generator) -> Tensor:
        """Return the noisy images."""
        noise = torch.randn(images.shape, generator=generator, device=generator.device)
        return images.add(noise.to(images), alpha=self.std).clamp_(0.0, 1.0)


@dataclass(frozen=True)
class Flip:
    """Mirror left and right, with ``probability`` for each image.  Not for digits and letters."""

    probability: float

    def __call__(self, images: Tensor, *, generator: Generator) -> Tensor:
        """Return the images, some of them mirrored."""
        chosen = _uniform(len(images), 1, 1, 1, like=images, generator=generator) < self.probability
        return torch.where(chosen, images.flip(3), images)


@dataclass(frozen=True)
class Compose:
    """One augmentation after the other."""

    steps: Sequence[Augmentation]

    def __call__(self, images: Tensor, *, generator: Generator) -> Tensor:
        """Return the images after all steps."""
        for step in self.steps:
            images = step(images, generator=generator)
        return images


def with_generator(transform: Callable[..., Tensor]) -> Augmentation:
    """Return a transform that takes ``generator``, also where a person's own does not.

    Such a one draws from torch's global generator, as torchvision's do. It is seeded from ours,
    and put back. A transform that draws from Python's or numpy's generators is not.
    """
    parameters = inspect.signature(transform).parameters.values()
    takes = any(p.name == "generator" or p.kind is p.VAR_KEYWORD for p in parameters)
    return transform if takes else _Seeded(transform)


@dataclass(frozen=True)
class _Seeded:
    """A transform of the whole batch that draws from torch's global generator."""

    transform: Callable[[Tensor], Tensor]

    def __call__(self, images: Tensor, *, generator: Generator) -> Tensor:
        """Return the transformed images."""
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
            torch.manual_seed(seed)
            return self.transform(images)


def _uniform(*shape: int, like: Tensor, generator: Generator) -> Tensor:
    """Draw float32 numbers, 0 ≤ u < 1, onto the device of ``like``."""
    return torch.rand(shape, generator=generator, device=generator.device).to(like.device)


def _covered(size: int, *, length: Tensor, position: Tensor) -> Tensor:
    """Return which pixels ``[B, size]`` a span covers; length, position: ``[B]``, 0 … 1."""
    num_pixels = (length * size).round().clamp(max=size)
    start = (position * (size - num_pixels + 1)).floor()
    pixels = torch.arange(size, device=length.device)
    return (pixels >= start[:, None]) & (pixels < (start + num_pixels)[:, None])
