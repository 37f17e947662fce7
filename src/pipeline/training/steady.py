"""Sums of many numbers, which have the same bits however many threads a training has just now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class _State:
    """Whether the number of threads of this process changes while it trains."""

    changes = False


def threads_change(*, change: bool) -> None:
    """Say whether the number of threads changes from now on."""
    _State.changes = change


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute the block with one thread."""
    number = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(number)


@contextmanager
def steady_threads() -> Iterator[None]:
    """Compute the block with one thread where the number of threads changes; else as it is."""
    if not _State.changes:
        yield
        return
    with one_thread():
        yield
