"""IDX files, the format of MNIST and its relatives: reading and writing.

Layout (http://yann.lecun.com/exdb/mnist/): two zero bytes, one byte for the type of a number, one
byte for how many dimensions there are, one big-endian 32-bit length per dimension, then the
numbers in C order and nothing after them.
"""

from __future__ import annotations

import math

import numpy as np

from pipeline.errors import DataError

_DTYPES: dict[int, np.dtype] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_CODES: dict[np.dtype, int] = {dtype.newbyteorder("="): code for code, dtype in _DTYPES.items()}
_MAX_DIMENSIONS = 4
_WAY_OUT = "Delete the file and run `pipeline download` again, or replace it with the official one."


def parse_idx(content: bytes, *, name: str) -> np.ndarray:
    """Turn the content of an IDX file into an array of native byte order.

    name: of the file, for error messages.  The array is a copy only where bytes must be swapped.

    Raises:
        DataError: not IDX, an unknown number type, or a length that differs from the header's.
            Nothing is allocated before the length has been checked.
    """
    dtype, shape = _parse_header(content, name=name)
    start = 4 + 4 * len(shape)
    expected = math.prod(shape) * dtype.itemsize
    present = len(content) - start
    if present != expected:
        problem = "is truncated" if present < expected else "has trailing bytes"
        raise DataError(
            f"{name} {problem}: its header says shape {list(shape)}, which is {expected} bytes of "
            f"data, but there are {present}. {_WAY_OUT}"
        )
    numbers = np.frombuffer(content, dtype=dtype, offset=start).reshape(shape)
    return numbers.astype(dtype.newbyteorder("="))


def _parse_header(content: bytes, *, name: str) -> tuple[np.dtype, tuple[int, ...]]:
    if content[:2] == b"\x1f\x8b":
        raise DataError(
            f"{name} is still gzip-compressed, an IDX file is not. Unpack it (gunzip) first."
        )
    if len(content) < 4 or content[:2] != b"\x00\x00":
        raise DataError(
            f"{name} is not an IDX file: it begins with {content[:4].hex(' ') or 'nothing'}, "
            f"an IDX file with 00 00, the number type and the number of dimensions. {_WAY_OUT}"
        )
    code, num_dimensions = content[2], content[3]
    if code not in _DTYPES:
        known = ", ".join(f"0x{known:02x} ({dtype.name})" for known, dtype in _DTYPES.items())
        raise DataError(
            f"{name} has the unknown number type 0x{code:02x}; IDX knows {known}. {_WAY_OUT}"
        )
    if not 1 <= num_dimensions <= _MAX_DIMENSIONS:
        raise DataError(
            f"{name} has {num_dimensions} dimensions; allowed are 1 … {_MAX_DIMENSIONS}. {_WAY_OUT}"
        )
    end = 4 + 4 * num_dimensions
    if len(content) < end:
        raise DataError(
            f"{name} is truncated inside its header: it has {len(content)} of {end} bytes. "
            f"{_WAY_OUT}"
        )
    return _DTYPES[code], tuple(
        int(length) for length in np.frombuffer(content[4:end], dtype=">u4")
    )


def format_idx(array: np.ndarray) -> bytes:
    """Turn an array into IDX bytes.

    array: 1 … 4 dimensions of uint8, int8, int16, int32, float32 or float64.

    Raises:
        DataError: a dtype or a number of dimensions that IDX cannot hold.
    """
    code = _CODES.get(array.dtype.newbyteorder("="))
    if code is None or not 1 <= array.ndim <= _MAX_DIMENSIONS:
        raise DataError(
            f"An array of {array.dtype} with {array.ndim} dimensions does not fit into IDX. "
            f"Allowed are {', '.join(dtype.name for dtype in _DTYPES.values())} "
            f"and 1 … {_MAX_DIMENSIONS} dimensions. Convert it first."
        )
    header = bytes([0, 0, code, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes()
    return header + array.astype(_DTYPES[code]).tobytes()


def parse_images(content: bytes, *, name: str) -> np.ndarray:
    """Return the ``[N, H, W]`` uint8 images in the content of an IDX file.

    Raises:
        DataError: it is malformed, or holds something else.
    """
    array = parse_idx(content, name=name)
    if array.ndim != 3 or array.dtype != np.uint8 or 0 in array.shape:
        raise DataError(
            f"{name} holds {array.dtype} {list(array.shape)}, images are uint8 [N, H, W] "
            f"with N, H, W ≥ 1. {_WAY_OUT}"
        )
    return array


def parse_labels(content: bytes, *, name: str) -> np.ndarray:
    """Return labels ``[N]`` int64 from ``[N]`` uint8, or column 0 of QMNIST's ``[N, 8]`` int32.

    Raises:
        DataError: the content is malformed, or holds something else.
    """
    array = parse_idx(content, name=name)
    if array.ndim == 1 and array.dtype == np.uint8:
        return array.astype(np.int64)
    if array.ndim == 2 and array.dtype == np.int32 and array.shape[1] == 8:
        return array[:, 0].astype(np.int64)
    raise DataError(
        f"{name} holds {array.dtype} {list(array.shape)}, labels are uint8 [N] or int32 [N, 8]. "
        f"{_WAY_OUT}"
    )
