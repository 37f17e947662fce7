"""``signals.safetensors``: the signals of a network at every moment of its training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pipeline.errors import DataError
from pipeline.files import read_bytes, write_atomically
from pipeline.records import SignalRecord

FILE_NAME = "signals.safetensors"
# Arrays without a row for each moment.
CONSTANTS = {"train/labels", "val/labels", "layers/num_weights", "units/num_units"}


def write_signals(path: Path, record: SignalRecord) -> None:
    """Write a record; equal records give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.ascontiguousarray(record.arrays[name]) for name in sorted(record.arrays)}
    write_atomically(path, _sorted_header(save(arrays, dict(record.metadata))))


def read_signals(path: Path, *, sha256: str | None = None) -> SignalRecord:
    """Read a file of `write_signals`. sha256: the hash that it must have, where one is known.

    Raises:
        DataError: the file is missing or damaged, or holds something else than signals.
    """
    way_out = f"Train again: pipeline train name={path.parent.name}"
    blob = read_bytes(path, way_out=way_out, sha256=sha256)
    try:
        arrays = dict(sorted(load(blob).items()))  # safetensors reads them in any order
        header = json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")])
    except (SafetensorError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}. {way_out}") from error
    record = SignalRecord(arrays=arrays, metadata=header.get("__metadata__", {}))
    fault = _fault(record)
    if fault:
        raise DataError(f"{path} holds no signals: {fault}. {way_out}")
    return record


def _fault(record: SignalRecord) -> str | None:
    """Return the first thing in which a record has another form than docs/signals.md says."""
    epochs = record.arrays.get("epochs")
    if epochs is None or epochs.dtype != np.int64 or epochs.ndim != 1:
        return "epochs is no list of int64"
    for name, array in record.arrays.items():
        if array.dtype.kind not in "biuf":
            return f"{name} has the type {array.dtype}"
        by_moment = name not in CONSTANTS
        if by_moment and (not array.ndim or len(array) != len(epochs)):
            return f"{name} has the shape {list(array.shape)} for {len(epochs)} moments"
    for name in ("layers", "activations", "num_classes"):
        try:
            json.loads(record.metadata.get(name, "null"))
        except ValueError as error:
            return f"{name} is no JSON ({error})"
    return None


def _sorted_header(blob: bytes) -> bytes:
    """Sort the keys of a file's header: safetensors writes the metadata in any order."""
    end = 8 + int.from_bytes(blob[:8], "little")
    header = json.dumps(json.loads(blob[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + blob[end:]
