"""A worker whose command was killed: it goes on with the sweep, and ends when there is nothing left to do.

Left alone, a process of joblib's waits for its dead parent's next job for good, with all its memory.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator

POLL_S = 2.0
_working = threading.Event()
_watched: set[int] = set()


@contextlib.contextmanager
def working_for(launcher: int) -> Iterator[None]:
    """While the block runs this process stays, whatever becomes of ``launcher``; outside of it, it ends with it.

    launcher: the process that made the plan. Nothing is done where that is this process itself, or
    where a scheduler stands between the two.
    """
    if os.getppid() != launcher:
        yield
        return
    _working.set()
    if launcher not in _watched:
        _watched.add(launcher)
        threading.Thread(target=_watch, args=(launcher,), daemon=True).start()
    try:
        yield
    finally:
        _working.clear()


def _watch(launcher: int) -> None:
    while os.getppid() == launcher or _working.is_set():
        time.sleep(POLL_S)
    sys.stdout.flush()
    os._exit(0)
