"""``signals.safetensors``: what was measured of a network at every moment of its training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from pipeline.errors import DataError
from pipeline.files import write_atomically
from pipeline.records import SignalRecord

FILE_NAME = "signals.safetensors"


def write_signals(path: Path, record: SignalRecord) -> None:
    """Write a record; equal records give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.ascontiguousarray(record.arrays[name]) for name in sorted(record.arrays)}
    write_atomically(path, _sorted_header(save(arrays, dict(record.metadata))))


def read_signals(path: Path) -> SignalRecord:
    """Read what `write_signals` wrote.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            return SignalRecord(arrays=arrays, metadata=file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{path} cannot be read: {error}. Train again: pipeline train name={path.parent.name}"
        ) from error


def _sorted_header(blob: bytes) -> bytes:
    """The same file with its header's keys sorted: safetensors writes the metadata in any order."""
    end = 8 + int.from_bytes(blob[:8], "little")
    header = json.dumps(json.loads(blob[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + blob[end:]
