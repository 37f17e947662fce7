"""An answer without its files, in a project that cannot be written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.disk import READ_ONLY


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
