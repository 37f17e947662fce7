"""A worker whose command was killed goes on with the sweep, and ends when no slot is left.

Without this module a joblib process would wait forever for the next job of its dead parent, and
would keep all its memory.
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
    """Keep this process alive inside the block; outside of it, end it when ``launcher`` is gone.

    launcher: the process that made the plan. Nothing happens where the launcher is this process,
    or where a scheduler stands between the two.
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
