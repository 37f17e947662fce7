"""Room and rights on the disk, checked before work begins that could be lost."""

from __future__ import annotations

import errno
import math
import os
import resource
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import DiskError

SPARE = 10_000_000  # bytes that stay free, for what cannot be foreseen
RESULTS = 5_000_000  # tables, records and pictures on one model
LARGEST_RESULT = 1_000_000
# A full disk, a quota that is used up, a file that may not grow further.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


def check_disk(places: Mapping[Path, int], *, largest: int) -> None:
    """Check that files can be written, and that they fit.

    places: folder, which need not be there yet → bytes that will be written below it at most.
    largest: bytes of the largest single file.
    Raises ``OSError`` with the folder's name where it cannot be written, and `DiskError` where the
    room or the limit on a file's size does not do.
    """
    needed: dict[int, int] = {}
    for folder, size in places.items():
        there = _nearest(folder)
        _check_writable(there, folder)
        device = there.stat().st_dev
        needed[device] = needed.get(device, 0) + size
        free = shutil.disk_usage(there).free
        if free < needed[device] + SPARE:
            raise DiskError(
                f"{folder}: the disk has {_megabytes(free)} MB free, but about "
                f"{_megabytes(needed[device] + SPARE)} MB are needed. Free some space."
            )
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit != resource.RLIM_INFINITY and limit < largest:
        raise DiskError(
            f"A file may have {_megabytes(limit)} MB at most here, but the largest one needs about "
            f"{_megabytes(largest)} MB. Raise the limit: ulimit -f unlimited"
        )


def check_results(name: str, *, root: Path) -> None:
    """Check that tables and pictures can be written to ``results/<name>``; see `check_disk`."""
    check_disk({root / "results" / name: RESULTS}, largest=LARGEST_RESULT)


def explained(error: OSError) -> str:
    """Return the rule and the way out of the errors that a person can mend."""
    where = error.filename or "a file"
    if error.errno in READ_ONLY:
        return (
            f"{where}: cannot be written or read ({os.strerror(error.errno)}). "
            "Work in a copy of the project, or ask for the right to write there."
        )
    if error.errno == errno.EFBIG:
        return (
            f"{where}: is larger than a file may be here. Raise the limit (ulimit -f unlimited); "
            "the same command goes on."
        )
    if error.errno in FULL:
        return f"{where}: the disk is full. Free some space; the same command goes on."
    return str(error)


def _nearest(folder: Path) -> Path:
    """Return the folder itself, or the nearest one above it that is there."""
    return next(place for place in (folder, *folder.absolute().parents) if place.is_dir())


def _check_writable(there: Path, folder: Path) -> None:
    """Write a file that has no name and vanishes at once."""
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"x")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


def _megabytes(size: int) -> str:
    return f"{math.ceil(size / 1e5) / 10:g}"
