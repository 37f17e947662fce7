"""Whether a raw file is the official one, by its hash. Only the standard library is needed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.data.manifest import RawFile

SUMS_NAME = "SHA256SUMS"


def is_official(file: RawFile, *, directory: Path) -> bool:
    """Return whether the file is there and has the official bytes.

    Where the manifest has no SHA-256, the one that `accept` recorded counts.
    """
    expected = file.sha256 or recorded_sums(directory).get(file.name)
    path = directory / file.name
    if expected is None or not path.is_file() or path.stat().st_size != file.size:
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == expected


def recorded_sums(directory: Path) -> dict[str, str]:
    """Return file name → hash, as ``SHA256SUMS`` has them; empty where it cannot be read."""
    path = directory / SUMS_NAME
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return {}
    pairs = (line.split("  ", 1) for line in text.splitlines() if "  " in line)
    return {name: digest for digest, name in pairs}
