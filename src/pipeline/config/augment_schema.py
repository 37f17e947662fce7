"""Schema of the ``augment`` group: one class for each transform of `pipeline.data.augment`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from pipeline.config.schema import Built, Count, NonNegative, Positive, PositiveShare, Share


class Identity(Built):
    """No augmentation."""


class Shift(Built):
    """Whole pixels in both directions."""

    max_pixels: Count


class Affine(Built):
    """Rotation, translation, scale and shear."""

    degrees: Annotated[float, Field(ge=0, le=180, allow_inf_nan=False)]
    translate: Share
    scale: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
    shear_degrees: Annotated[float, Field(ge=0, lt=90, allow_inf_nan=False)]


class Erase(Built):
    """A rectangle set to background."""

    probability: Share
    min_area: PositiveShare
    max_area: PositiveShare


class Noise(Built):
    """Gaussian noise on every pixel."""

    std: NonNegative


class Flip(Built):
    """Left and right exchanged."""

    probability: Share


class Elastic(Built):
    """A smooth random displacement."""

    alpha: NonNegative
    sigma: Positive


class Compose(Built):
    """Several, one after the other."""

    steps: list[Any]
