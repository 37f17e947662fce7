"""Files of the form safetensors, read and written without all of them in memory.

The library's own functions copy a whole file. Here a file is mapped: its pages are read when they
are needed, and the system may drop them again. A written file has the library's bytes.
"""

from __future__ import annotations

import json
import math
import mmap
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open

from pipeline.files import naming, replaced_atomically

_NAMES = {"uint8": "U8", "float32": "F32", "int64": "I64"}
_TYPES = {name: np.dtype(kind).newbyteorder("<") for kind, name in _NAMES.items()}
_WRITTEN = 2**24  # bytes at once
MOST_IN_MEMORY = 2**28  # bytes of an array


def mapped(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file, by name. They cannot be changed.

    Raises OSError or `SafetensorError` for a file that cannot be read or is damaged, and KeyError
    for a type other than uint8, float32 and int64.
    """
    with safe_open(path, framework="numpy"):  # checks the header and the file's length
        pass
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header.pop("__metadata__", None)
    return {
        name: np.frombuffer(
            content,
            dtype=_TYPES[form["dtype"]],
            count=math.prod(form["shape"]),
            offset=8 + size + form["data_offsets"][0],
        ).reshape(form["shape"])
        for name, form in header.items()
    }


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Replace the file at ``path`` in one step; raises OSError, and the old file stays.

    arrays: of type uint8, float32 or int64.
    """
    # The library's order: wide types first, so that each lies at a multiple of its width.
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0]))
    header, begin = {}, 0
    for name, array in ordered:
        end = begin + array.nbytes
        header[name] = {
            "dtype": _NAMES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
        begin = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with replaced_atomically(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, array in ordered:
            rows = max(1, _WRITTEN * len(array) // max(1, array.nbytes))
            for first in range(0, len(array), rows):
                file.write(np.ascontiguousarray(array[first : first + rows]).data)


def room(shape: tuple[int, ...], *, directory: Path | None) -> np.ndarray:
    """Return an uint8 array of zeros. A large one lies in a file without a name in ``directory``.

    directory: None keeps every array in memory.
    Raises OSError where the disk has no room for it.
    """
    size = math.prod(shape)
    if directory is None or size <= MOST_IN_MEMORY:
        return np.zeros(shape, np.uint8)
    directory.mkdir(parents=True, exist_ok=True)
    with naming(directory), tempfile.TemporaryFile(dir=directory) as file:
        for begin in range(0, size, _WRITTEN):  # not sparse: a full disk would end the process
            file.write(bytes(min(_WRITTEN, size - begin)))
        file.flush()
        return np.frombuffer(mmap.mmap(file.fileno(), size), np.uint8).reshape(shape)
