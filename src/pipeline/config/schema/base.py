"""Types of values, and the nodes of the configuration that all sections are made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
PositiveShare = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
DropoutRate = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Coefficient = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]
# A name becomes a folder. These characters cannot lead out of its place.
Name = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$", max_length=100)
]


class Section(BaseModel):
    """A node of the configuration: frozen, without implicit conversion of types."""

    # Built at the first use: most commands only look at a few types and names here.
    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", populate_by_name=True, defer_build=True
    )


class Built(Section):
    """A section that builds an object of the class ``_target_``; the other keys are arguments."""

    name: Name
    target: str = Field(alias="_target_")

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments for the target, in the order of the schema."""
        return {key: value for key, value in self if key not in ("name", "target")}


class Own(Built):
    """A class that is not ours: its signature is checked when it is built."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", populate_by_name=True)
