"""The batches of an evaluation beside one another, each on one processor thread.

Threads that share one batch wait for each other at every layer: two of them gain little, and beside
other work they make it ten times slower. Batches wait for nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from pipeline.models.structure import has_known_layers_only, is_compiled

FEWEST_BATCHES = 8  # of an evaluation, for own threads to pay
AHEAD = 2  # batches for each thread that are computed before they are asked for
Answer = TypeVar("Answer")


def beside_one_another(
    compute: Callable[[np.ndarray], Answer], batches: Sequence[np.ndarray], network: nn.Module
) -> Iterator[Answer]:
    """Yield ``compute(batch)`` of each batch, in their order.

    compute: calls the network; in a thread of its own where there are many batches.  A network
    that may not bear this gets one batch after the other, each with all of torch's threads: one in
    training mode, a compiled one, and one with layers of a person's own.
    """
    num_threads = torch.get_num_threads()
    many = num_threads > 1 and len(batches) >= FEWEST_BATCHES
    if not (many and _bears_threads(network)):
        yield from map(compute, batches)
        return
    try:
        yield from _in_threads(compute, batches, num_threads)
    finally:  # the workers have set it for threads to come too
        torch.set_num_threads(num_threads)


def _in_threads(
    compute: Callable[[np.ndarray], Answer], batches: Sequence[np.ndarray], num_threads: int
) -> Iterator[Answer]:
    with ThreadPoolExecutor(num_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        waiting: deque[Future[Answer]] = deque()
        for batch in batches:
            waiting.append(pool.submit(compute, batch))
            if len(waiting) > AHEAD * num_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _bears_threads(network: nn.Module) -> bool:
    training = any(module.training for module in network.modules())
    return not training and has_known_layers_only(network) and not is_compiled(network)
