"""One processor thread or all for the batches of an evaluation, whichever is faster just now.

Beside other work, threads that wait for each other at every layer make it ten times slower.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.models.structure import has_known_layers_only

FEWEST_BATCHES = 8  # of an evaluation, for trials to pay
FIRST_WAIT, LONGEST_WAIT = 8, 128  # batches until the slower number is tried again
CLEARLY = 1.5  # times slower: the next trial waits twice as long


class InferenceThreads:
    """Follows the machine from batch to batch where no bit of the outputs depends on it.

    The first batch is computed with one thread and with all. If their bits differ, all threads
    compute every batch. They do so too, and each batch once, for a network with layers of a
    person's own, whose answers may depend on its calls.
    """

    def __init__(self, network: nn.Module, num_batches: int) -> None:
        self._most = torch.get_num_threads()
        choice = self._most > 1 and num_batches >= FEWEST_BATCHES and has_known_layers_only(network)
        self._numbers = (self._most, 1) if choice else (self._most,)
        self._shape: tuple[int, ...] | None = None
        self._batch_s: dict[int, float] = {}
        self._wait, self._since = FIRST_WAIT, 0

    def outputs(self, compute: Callable[[np.ndarray], Tensor], batch: np.ndarray) -> Tensor:
        """Return ``compute(batch)``. A batch of another shape than the first gets all threads."""
        if len(self._numbers) < 2 or batch.shape != (self._shape or batch.shape):
            return compute(batch)
        if self._shape is None:
            self._shape = batch.shape
            one = self._timed(compute, batch, 1)
            found = compute(batch)
            if not torch.equal(one, found):
                self._numbers = (self._most,)
            self._batch_s = {}  # a first call is slower than others
            return found
        return self._timed(compute, batch, self._next())

    def _next(self) -> int:
        untried = [number for number in self._numbers if number not in self._batch_s]
        if untried:
            return untried[0]
        fast, slow = sorted(self._numbers, key=self._batch_s.__getitem__)
        self._since += 1
        if self._since <= self._wait:
            return fast
        self._since = 0
        clear = self._batch_s[slow] > CLEARLY * self._batch_s[fast]
        self._wait = min(2 * self._wait, LONGEST_WAIT) if clear else FIRST_WAIT
        return slow

    def _timed(
        self, compute: Callable[[np.ndarray], Tensor], batch: np.ndarray, number: int
    ) -> Tensor:
        began = time.perf_counter()
        torch.set_num_threads(number)
        try:
            found = compute(batch)
        finally:
            torch.set_num_threads(self._most)
        self._batch_s[number] = time.perf_counter() - began
        return found
