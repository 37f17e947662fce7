"""Waiting for the shipper's thread."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(true: Callable[[], bool], *, seconds: float = 600) -> None:
    """Wait until a condition holds; the time is long, since the machine may be busy."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "the shipper did not get there"
        time.sleep(0.02)
