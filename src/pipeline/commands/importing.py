"""Imports of large libraries, which last until the process ends."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting_imports(library: str) -> Iterator[None]:
    """Spare what the block imports from every search for garbage.

    No search finds garbage among modules, classes and functions. While torch is imported, the
    searches take a tenth of the import; the three at the end of the process take half a second.
    What a command makes after the block is searched as before. At the end of the process, what a
    module of the block still holds gets no last call, which Python does not promise either.
    library: the one that the block imports. Where it is imported already, nothing is spared: this
    may be a process that lives long, such as a notebook.
    """
    if library in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
