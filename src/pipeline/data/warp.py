"""Moving the pixels of a batch of images, each image in its own way; nothing is random here.

Images are ``[B, C, H, W]`` float, 0 … 1; the result has their type, device and memory format.
Pixels that enter from outside the image are 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def shift(images: Tensor, *, offsets: Tensor, max_pixels: int) -> Tensor:
    """Move each image by whole pixels, exactly.

    offsets: ``[B, 2]`` int64, right and down, within −max_pixels … max_pixels.
    """
    batch, _, height, width = images.shape
    padded = F.pad(images, (max_pixels,) * 4).permute(0, 2, 3, 1)
    start = max_pixels - offsets
    columns = start[:, 0, None] + torch.arange(width, device=images.device)
    rows = start[:, 1, None] + torch.arange(height, device=images.device)
    image = torch.arange(batch, device=images.device)[:, None, None]
    moved = padded[image, rows[:, :, None], columns[:, None, :]]
    return _laid_out_like(moved.permute(0, 3, 1, 2), images)


def affine(
    images: Tensor, *, degrees: Tensor, translate: Tensor, scale: Tensor, shear_degrees: Tensor
) -> Tensor:
    """Shear, rotate, scale and then move each image, with linear interpolation.

    The convention is that of ``torchvision.transforms.v2.functional.affine``: positive degrees turn
    clockwise, a positive shear pushes the lower half to the left.

    degrees, scale, shear_degrees: ``[B]`` float32; scale > 0.  translate: ``[B, 2]`` float32, right
    and down, as a share of the image's width and height.
    """
    _, _, height, width = images.shape
    turn, slant = torch.deg2rad(degrees), torch.tan(torch.deg2rad(shear_degrees))
    cosine, sine = torch.cos(turn), torch.sin(turn)
    # From a pixel of the result back to its source: unrotate, unshear, unscale
    back_x = torch.stack((cosine - slant * sine, sine + slant * cosine), dim=1)
    back_y = torch.stack((-sine, cosine), dim=1)
    back = torch.stack((back_x, back_y), dim=1) / scale[:, None, None]
    size = back.new_tensor((width, height))
    back = back * size[None, None, :] / size[None, :, None]  # in grid_sample's units, -1 … 1
    start = -(back @ (2 * translate[:, :, None]))
    along_rows = back[:, :, 0, None] * _centres(width, like=back)
    along_columns = back[:, :, 1, None] * _centres(height, like=back) + start
    return _sample(images, along_columns[:, :, :, None] + along_rows[:, :, None, :])


def displace(images: Tensor, *, displacement: Tensor) -> Tensor:
    """Take every pixel from another place, with linear interpolation.

    displacement: ``[B, 2, H, W]`` float32, pixels to the right and down from a pixel to its source.
    """
    _, _, height, width = images.shape
    unit = displacement.new_tensor((2 / width, 2 / height))[:, None, None]
    columns, rows = _centres(width, like=displacement), _centres(height, like=displacement)
    here = torch.stack(torch.meshgrid(columns, rows, indexing="xy"))
    return _sample(images, torch.addcmul(here, displacement, unit))


def gaussian_blur(fields: Tensor, *, sigma: float) -> Tensor:
    """Blur ``[…, H, W]`` float with a Gaussian of ``sigma`` pixels (> 0), cut at 4 sigma.

    Outside is 0, as in ``scipy.ndimage.gaussian_filter(mode="constant")``.  Two matrix products do
    it, since for small images they are faster than a convolution.
    """
    height, width = fields.shape[-2:]
    down = _gaussian(height, sigma=sigma, like=fields)
    across = _gaussian(width, sigma=sigma, like=fields)
    return down @ fields @ across


def _gaussian(size: int, *, sigma: float, like: Tensor) -> Tensor:
    """Return the symmetric ``[size, size]`` matrix that blurs a line."""
    radius = int(4 * sigma + 0.5)
    weights = torch.exp(-(torch.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    weights = weights / weights.sum()
    position = torch.arange(size)
    distance = (position[:, None] - position[None, :]).abs()
    near = distance <= radius
    return torch.where(near, weights[radius + distance.clamp_max(radius)], 0.0).to(like)


def _centres(size: int, *, like: Tensor) -> Tensor:
    """Return the centres of ``size`` pixels in grid_sample's units, -1 … 1."""
    return (2 * torch.arange(size, device=like.device, dtype=like.dtype) + 1) / size - 1


def _sample(images: Tensor, sources: Tensor) -> Tensor:
    """Take each pixel from its source ``[B, 2, H, W]``, x and y in grid_sample's units.

    The callers build the grid plane by plane: torch's ``affine_grid`` takes twice the time of all
    the rest.
    """
    grid = sources.permute(0, 2, 3, 1)
    warped = F.grid_sample(images.to(grid.dtype), grid, align_corners=False)
    # The weights of the interpolation add up to 1 only up to rounding
    return _laid_out_like(warped.clamp_(0.0, 1.0).to(images.dtype), images)


def _laid_out_like(result: Tensor, images: Tensor) -> Tensor:
    """Give the result the memory format of the images, with a copy only where they differ."""
    if result.stride() == images.stride():
        return result
    return torch.empty_like(images).copy_(result)
