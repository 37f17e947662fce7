"""Data sets: which files, how they are split, and what training does to them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from pipeline.config.schema.base import Count, CountOrZero, Name, PositiveShare, Section, Share


class DataSection(Section):
    """Keys that every data set has."""

    name: Name = Field(description="name of the data set and of its folders")
    fraction: PositiveShare = Field(description="share of the training part that is used")
    label_noise: Share = Field(description="share of the training images whose labels are shuffled")
    label_noise_seed: CountOrZero = Field(description="seed of that shuffling")
    batch_size: Count | Literal["all"] = Field(description="images in one step on one device")
    split_seed: CountOrZero = Field(description="seed of the split into training and validation")
    stream: bool | Literal["auto"] = Field(
        description="leave the images on disk; auto decides by the memory"
    )
    # Runs of earlier versions have none.
    sampling: Literal["balanced"] | None = Field(
        None, description="balanced shows all classes equally often; null as they are"
    )

    def preparation(self) -> dict[str, Any]:
        """Return the settings that decide the content of the prepared data."""
        return {key: value for key, value in self if key not in _WITHOUT_EFFECT_ON_PREPARED}


# Settings of a data set that training applies, or that only say where the files come from.
_WITHOUT_EFFECT_ON_PREPARED = (
    "name",
    "fraction",
    "label_noise",
    "label_noise_seed",
    "batch_size",
    "stream",
    "sampling",
    "mirror",
)


class Idx(DataSection):
    """A published set of four IDX files."""

    mirror: str | None = Field(description="folder or URL with the four files, tried first")
    validation_size: Count = Field(description="images of the validation part")


class ImageFolder(DataSection):
    """A person's own images, one folder a class."""

    path: str = Field(description="folder with one folder of images a class")
    image_size: Annotated[int, Field(ge=8, le=1024)] = Field(
        description="height and width in pixels"
    )
    channels: Literal[1, 3] = Field(description="1 for grey, 3 for colour")
    test_fraction: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = Field(
        description="share of the images that is tested on"
    )
    validation_size: Count | Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = Field(
        description="images, or share, of the validation part"
    )


class TableData(DataSection):
    """A person's own table, one row an example."""

    path: str = Field(description="CSV or Parquet file")
    target: str = Field(description="column of the class")
    categorical: list[str] = Field(description="columns of numbers that are categories")
    ignore: list[str] = Field(description="columns that are left out")
    test_fraction: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = Field(
        description="share of the rows that is tested on"
    )
    validation_size: Count | Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = Field(
        description="rows, or share, of the validation part"
    )


class OwnData(DataSection):
    """A person's own LightningDataModule; further keys are its arguments."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", populate_by_name=True)

    target: str = Field(alias="_target_", description="class of the LightningDataModule")
    validation_size: Count | Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = Field(
        description="images, or share, of the validation part where the module has none"
    )

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the class."""
        return dict(self.model_extra or {})
