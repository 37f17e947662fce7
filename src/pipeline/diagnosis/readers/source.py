"""Bytes of a file or of standard input → text. A pickle is never opened."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import DataError

MAX_BYTES = 64 * 2**20
STDIN = Path("-")

_AS_JSON = (
    "Write the numbers as JSON where you trained: import json; json.dump({name: [float(x) for x in "
    'values] for name, values in history.items()}, open("history.json", "w"))'
)
_PICKLE = (
    "is a pickle or may hold one, which could run any code when it is opened. It is never opened."
)
_PICKLE_ENDINGS = {
    *(".pkl", ".pickle", ".p", ".pt", ".pth", ".ckpt", ".joblib", ".npy", ".npz", ".keras", ".bin"),
}
_PICKLE_START = re.compile(
    rb"\x80[\x02-\x05]|PK\x03\x04|\x93NUMPY|\(?[dl]p\d+\n|[}\]]q.|c[\w.]+\n\w+\n"
)
_OTHER = {
    b"\x89HDF": "is an HDF5 file",
    b"\x1f\x8b": "is compressed (gzip)",
    b"PAR1": "is a Parquet file",
    b"SQLite format 3": "is a SQLite database; MLflow's runs are read by run=<id>",
    b"\x89PNG": "is a picture",
    b"\xff\xd8\xff": "is a picture",
    b"%PDF": "is a PDF",
}


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, or of standard input for ``-``.

    Raises `DataError` where it cannot be read, or has more than `MAX_BYTES`.
    """
    try:
        if path == STDIN:
            return _limited(sys.stdin.buffer, "standard input")
        if not path.is_file() and path.exists() and not path.is_fifo():
            raise DataError(f"{path}: is no file. Give a file of curves, or the folder of one run.")
        with path.open("rb") as file:
            return _limited(file, str(path))
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"{path}: cannot be read ({reason}). Give a file of curves, or the folder of one run."
        ) from error


def _limited(file: BinaryIO, name: str) -> bytes:
    content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise DataError(
            f"{name}: is larger than {MAX_BYTES // 2**20} MB, too large for a history. "
            "Give the curves by epoch."
        )
    return content


def refuse_binary(content: bytes, path: Path) -> None:
    """Raise `DataError` for a file that is no text, and say how to get one."""
    if _PICKLE_START.match(content) or path.suffix.lower() in _PICKLE_ENDINGS:
        raise DataError(f"{path}: {_PICKLE} {_AS_JSON}")
    for start, words in _OTHER.items():
        if content.startswith(start):
            raise DataError(f"{path}: {words}. Give a text file (CSV or JSON). {_AS_JSON}")


def decoded(content: bytes, path: Path) -> str:
    """Return the text of UTF-8, UTF-16 or Windows-1252, with ``\\n`` between its lines.

    Raises `DataError` for bytes that are no text.
    """
    text = _decode(content)
    if text is None or "\0" in text or _share_of_controls(text) > 0.02:
        raise DataError(f"{path}: is not text. Give a CSV or JSON file of curves, or a log.")
    return text


def _decode(content: bytes) -> str | None:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _tried(content, "utf-16")
    head = content[:1000]
    if len(head) > 3 and head[1::2].count(0) > 0.9 * (len(head) // 2):
        return _tried(content, "utf-16-le")
    if len(head) > 3 and head[0::2].count(0) > 0.9 * (len(head) // 2):
        return _tried(content, "utf-16-be")
    text = _tried(content, "utf-8-sig")
    return text if text is not None else _tried(content, "cp1252")


def _tried(content: bytes, encoding: str) -> str | None:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return None


def _share_of_controls(text: str) -> float:
    head = text[:4000]
    signs = sum(ord(sign) < 32 and sign not in "\t\n\r\x0b\x0c\x08\x1b" for sign in head)
    return signs / max(len(head), 1)
