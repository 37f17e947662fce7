"""The finished parts of a probe on the disk: the same probe goes on after a kill.

A part is a group of short runs. Its losses lie in ``checkpoints/probes/<name>/<key>/``, and go away
once the probe has its result.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pipeline.errors import DataError
from pipeline.files import read_bytes, write_atomically

_HASH_BYTES = 32  # a part begins with the hash of what follows


class ProbeParts:
    """The parts of one probe of one model. key: whatever decides their numbers."""

    def __init__(self, name: str, key: object, *, root: Path) -> None:
        self._of_model = root / "checkpoints" / "probes" / name
        digest = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()
        self._folder = self._of_model / digest[:16]

    def __len__(self) -> int:
        return len(list(self._folder.glob("*.part")))

    def read(self, part: str) -> Mapping[str, np.ndarray] | None:
        """Return the arrays of a part; None where it has not finished, or its file is damaged."""
        path = self._path(part)
        try:
            content = read_bytes(path, way_out="")
            digest, blob = content[:_HASH_BYTES], content[_HASH_BYTES:]
            if hashlib.sha256(blob).digest() == digest:
                return load(blob)
        except (DataError, SafetensorError, ValueError):
            pass
        return None

    def write(self, part: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep the arrays of a part, whole or not at all."""
        blob = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path(part), hashlib.sha256(blob).digest() + blob)

    def forget(self) -> None:
        """Remove the parts of every probe of this model."""
        shutil.rmtree(self._of_model, ignore_errors=True)

    def _path(self, part: str) -> Path:
        return self._folder / f"{hashlib.sha256(part.encode()).hexdigest()[:16]}.part"
