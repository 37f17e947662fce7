"""Exporting a trained model to a file for other programs, checked before it has its name."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.data.prepared import card_of, prepared_folder
from pipeline.data.store import load_split
from pipeline.disk import check_disk
from pipeline.errors import ConfigError, ModelError
from pipeline.files import scratch_folder
from pipeline.models.exported import (
    FORMATS,
    OfPixels,
    check_packages,
    load_exported,
    write_exported,
)
from pipeline.models.inference import predict_logits
from pipeline.models.saved import WEIGHTS, SavedModel, load_model

# Another program may add float32 numbers in another order.
TOLERANCE = 1e-3
BATCH = 500
PIXELS = "uint8 pixels as they are"
ROWS = "rows as float32 numbers, encoded as `columns` in its metadata says"
WARM_UP, NUM_TIMED = 20, 200


@dataclass(frozen=True)
class Exported:
    """A file that answers as the network does.

    takes: what its input is, in words.
    num_images: of the test set, all compared.  difference: the largest between two logits.
    disagreeing: images that get another class.  size, network_size: bytes of the file, and of the
    weights.  ms, network_ms: median milliseconds for one image, on this machine.
    """

    path: Path
    takes: str
    num_images: int
    difference: float
    disagreeing: int
    size: int
    network_size: int
    ms: float
    network_ms: float


def export(name: str, *, format: str, path: Path, root: Path) -> Exported:
    """Write ``models/<name>/`` as one file, once it answers as the network on the whole test set.

    format: a key of `FORMATS`.  An existing file is replaced in one step.
    Raises `ConfigError` for missing packages and for a path that is a folder, a device or of
    another format, `DataError` without the model's data, and `ModelError` where the network cannot
    be exported or the file answers otherwise.
    """
    _check_path(path, name=name, format=format)
    check_packages(format)
    model = load_model(root / "models" / name)
    card_of(model.settings.data, root=root)
    test = load_split(prepared_folder(model.settings.data.name, root=root), "test")
    weights = (root / "models" / name / WEIGHTS).stat().st_size
    check_disk({path.parent: 4 * weights}, largest=4 * weights)

    module = OfPixels(model.network, mean=model.mean, std=model.std)
    with scratch_folder(path) as scratch:
        unchecked = scratch / path.name
        metadata = _metadata(name, model)
        dtype = torch.float32 if model.columns else torch.uint8
        write_exported(
            format, module, unchecked, shape=model.input_shape, dtype=dtype, metadata=metadata
        )
        answer = load_exported(format, unchecked)
        found = _in_batches(answer, test.images)
        wanted = predict_logits(model.network, test.images, mean=model.mean, std=model.std)
        difference = float(np.abs(found - wanted).max())
        if not difference <= TOLERANCE:
            raise ModelError(
                f"format={format}: the file answers otherwise than models/{name}: logits differ by "
                f"up to {difference:.3g}, and {TOLERANCE:g} is allowed. It is not kept. Try "
                f"format={next(other for other in FORMATS if other != format)}"
            )
        one = test.images[:1]
        exported = Exported(
            path=path,
            takes=ROWS if model.columns else PIXELS,
            num_images=len(test),
            difference=difference,
            disagreeing=int((found.argmax(1) != wanted.argmax(1)).sum()),
            size=unchecked.stat().st_size,
            network_size=weights,
            ms=_median_ms(lambda: answer(one)),
            network_ms=_median_ms(lambda: _by_network(module, one)),
        )
        unchecked.replace(path)
    return exported


def _check_path(path: Path, *, name: str, format: str) -> None:
    """Raise `ConfigError` for a path that the file should not have."""
    suffix = FORMATS[format].suffix
    if not path.name or path.is_dir():
        raise ConfigError(f"file={path}: is a folder. Name a file: file={path / name}{suffix}")
    if path.exists() and not path.is_file():
        raise ConfigError(
            f"file={path}: is a device or a pipe, which the file would replace. "
            f"Name another: file={name}{suffix}"
        )
    for other, its in FORMATS.items():
        if path.suffix.lower() == its.suffix and other != format:
            raise ConfigError(
                f"file={path}: has the ending of format={other}, but format={format} is set. "
                f"Write format={other}, or name it {path.with_suffix(suffix)}"
            )


def _metadata(name: str, model: SavedModel) -> dict[str, Any]:
    channels, height, width = model.input_shape
    inputs = f"images [N, {channels}, {height}, {width}] uint8, 0 to 255, as in training"
    if model.columns:
        inputs = f"rows [N, {channels}, {height}, {width}] float32, encoded as columns says"
    return {
        "name": name,
        "inputs": inputs,
        **({"columns": [asdict(column) for column in model.columns]} if model.columns else {}),
        "outputs": "logits [N, classes] float32; their softmax gives the probabilities",
        "class_names": list(model.class_names),
        "data": model.settings.data.name,
        "weights_sha256": model.weights_sha256,
        "made_by": f"pipeline {version('pipeline')}",
    }


def _in_batches(answer: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
    parts = [answer(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
    return np.concatenate(parts)


def _by_network(module: OfPixels, images: np.ndarray) -> None:
    with torch.inference_mode():
        module(torch.tensor(images))


def _median_ms(call: Callable[[], object]) -> float:
    times = []
    for _ in range(WARM_UP + NUM_TIMED):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times[WARM_UP:])
