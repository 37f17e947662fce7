"""An answer without its files, in a project that cannot be written."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def noted_if_read_only(what: str) -> Iterator[None]:
    """Print a note instead of failing where the block cannot write; other errors pass.

    what: the files of the block, for example ``the picture``.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
        print(
            f"note: {what} was not written: {error.filename or 'the project'}: "
            f"{os.strerror(error.errno)}",
            file=sys.stderr,
        )


def explained(error: OSError) -> str:
    """Return the rule and the way out of the errors that a person can mend."""
    where = error.filename or "a file"
    if error.errno in READ_ONLY:
        return (
            f"{where}: cannot be written or read ({os.strerror(error.errno)}). "
            "Work in a copy of the project, or ask for the right to write there."
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{where}: the disk is full. Free some space; the same command goes on."
    if error.errno == errno.EFBIG:
        return (
            f"{where}: is larger than a file may be here. Raise the limit (ulimit -f unlimited); "
            "the same command goes on."
        )
    return str(error)
