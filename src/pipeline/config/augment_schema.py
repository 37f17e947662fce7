"""Schema of the ``augment`` group: one class for each transform of `pipeline.data.augment`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from pipeline.config.schema import Built, Count, NonNegative, Positive, PositiveShare, Share


class IdentitySettings(Built):
    """No augmentation."""


class ShiftSettings(Built):
    """Whole pixels in both directions."""

    max_pixels: Count = Field(description="pixels in both directions")


class AffineSettings(Built):
    """Rotation, translation, scale and shear."""

    degrees: Annotated[float, Field(ge=0, le=180, allow_inf_nan=False)] = Field(
        description="rotation in both directions"
    )
    translate: Share = Field(description="share of the side")
    scale: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = Field(
        description="share of the size"
    )
    shear_degrees: Annotated[float, Field(ge=0, lt=90, allow_inf_nan=False)] = Field(
        description="shear in both directions"
    )


class EraseSettings(Built):
    """A rectangle set to background."""

    probability: Share = Field(description="share of the images")
    min_area: PositiveShare = Field(description="smallest share of the area")
    max_area: PositiveShare = Field(description="largest share of the area")


class NoiseSettings(Built):
    """Gaussian noise on every pixel."""

    std: NonNegative = Field(description="standard deviation, in units of the pixels 0 … 1")


class FlipSettings(Built):
    """Left and right exchanged."""

    probability: Share = Field(description="share of the images")


class ElasticSettings(Built):
    """A smooth random displacement."""

    alpha: NonNegative = Field(description="size of the displacement in pixels")
    sigma: Positive = Field(description="smoothness in pixels")


class ComposeSettings(Built):
    """Several, one after the other."""

    steps: list[Any] = Field(description="transforms, one after the other")
