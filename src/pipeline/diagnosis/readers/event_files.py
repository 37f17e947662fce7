"""TensorBoard's event files → a `History`."""

from __future__ import annotations

from pathlib import Path

from pipeline.diagnosis.history import Context, History
from pipeline.diagnosis.readers.series import history_of
from pipeline.errors import DataError


def read_event_files(folder: Path, *, num_classes: int | None = None, num_val: int | None = None) -> History:
    """Read the scalars of a folder of event files.

    Raises `DataError` where the package is not installed, or the folder holds no scalars.
    """
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError as error:
        raise DataError(
            f'{folder}: reading event files needs TensorBoard. Install it with: pip install "tensorboard>=2.19"'
        ) from error
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    columns = {
        tag: list({float(e.step): float(e.value) for e in accumulator.Scalars(tag)}.items())
        for tag in accumulator.Tags()["scalars"]
    }
    if not columns:
        raise DataError(f"{folder}: holds no event file with scalars. Give the folder of one run.")
    return history_of(columns, context=Context(num_classes=num_classes, num_val=num_val), name=folder.name)
