"""``models/<name>/model.json``: the description of a trained model, without its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.files import read_record
from pipeline.records import Column

DESCRIPTION = "model.json"


@dataclass(frozen=True)
class TrainingSummary:
    """The course of a training, and the machine's settings that decide the bits of its weights.

    kept_epoch: counted from 1.  precision: ``32``, ``bf16`` or ``16``.
    one_thread_from: 0-based epoch at which a busy machine took the other threads away, if any.
    seconds, resumed_from_epoch: only in descriptions of an earlier version; both are in
    ``times.json`` now, since equal trainings leave equal files.
    """

    parameters: int
    epochs: int
    kept_epoch: int
    stopped_early: bool
    accelerator: str
    precision: str
    channels_last: bool
    num_threads: int
    one_thread_from: int | None = None
    seconds: float | None = None
    resumed_from_epoch: int | None = None


@dataclass(frozen=True)
class ModelDescription:
    """A trained model without its weights.

    data_sha256: of the prepared data that the model was trained on.  input_shape: ``(C, H, W)``.
    mean, std: per channel, of pixels scaled to 0 … 1.  settings: the resolved configuration.
    columns: of the table that it was trained on; empty for images.
    weights_sha256, familiarity_sha256: of the files beside it; `save_model` fills them in. The
    second is empty where nothing tells pictures unlike the training data.
    """

    class_names: Sequence[str]
    data_sha256: str
    input_shape: tuple[int, int, int]
    mean: Sequence[float]
    settings: Mapping[str, Any]
    std: Sequence[float]
    summary: TrainingSummary
    columns: tuple[Column, ...] = ()
    weights_sha256: str = ""
    familiarity_sha256: str = ""


def read_description(folder: Path) -> ModelDescription:
    """Read ``model.json`` of a model's folder, ``models/<name>/``.

    Raises `DataError` where the file is missing or damaged.
    """
    way_out = f"Train it again: pipeline train name={folder.name}"
    return read_record(folder / DESCRIPTION, ModelDescription, way_out=way_out)
