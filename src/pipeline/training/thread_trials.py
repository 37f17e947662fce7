"""Steps of a training on copies: to compare one thread with all, in bits and in seconds.

Nothing of the training changes: weights, optimizer, loss and random states are copies.
"""

from __future__ import annotations

import copy
import itertools
import statistics
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor

from pipeline import interruption
from pipeline.data.batches import EpochOrder
from pipeline.penalties import penalty, weight_matrices
from pipeline.training.measurement import undisturbed
from pipeline.training.steady import one_thread

CHECKED_STEPS = 2
# Longer steps share the machine well, and would be dear to try.
MOST_IMAGES = 2048
MOST_SECONDS = 0.5
# Threads that have waited are served first for some time, so a short trial flatters them.
TRIED_S = 0.5  # at most, of each block of steps
TRIED_SHARE = 0.01  # of the whole training, if that is shorter
TRIED_STEPS = 3  # at least
FEW = 8


@dataclass(frozen=True)
class Comparison:
    """Steps with one thread and with all.

    same_bits: of all that steps and an evaluation compute.  step_s: typical seconds of a step,
    by number of threads; the first one is not counted.
    """

    same_bits: bool
    step_s: dict[int, float]


@dataclass
class _Steps:
    """Steps on a copy of a module's network, with the first batch."""

    trainer: lightning.Trainer
    module: Any
    seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.network, self.loss = copy.deepcopy((self.module.network, self.module.loss))
        self.optimizer = self.module.make_optimizer(self.network)
        loader: Any = self.trainer.train_dataloader
        self.sizes = sizes_of(loader.sampler)
        (self.images, self.labels), *more = itertools.islice(loader, 2)
        if more and len(self.labels) < max(self.sizes):
            self.images = torch.cat([self.images, more[0][0]])
            self.labels = torch.cat([self.labels, more[0][1]])

    def step(self, size: int) -> Tensor:
        """Take a step with the first ``size`` images; return the objective."""
        module, network = self.module, self.network
        began = time.perf_counter()
        with self.trainer.precision_plugin.train_step_context():
            objective: Tensor = self.loss(network(self.images[:size]), self.labels[:size])
            if module.l1 or module.l2:
                weights = weight_matrices(network)
                objective = objective + penalty(weights, l1=module.l1, l2=module.l2)
        self.optimizer.zero_grad()
        objective.backward()
        if self.trainer.gradient_clip_val is not None:
            with one_thread():
                torch.nn.utils.clip_grad_norm_(network.parameters(), self.trainer.gradient_clip_val)
        self.optimizer.step()
        self.seconds.append(time.perf_counter() - began)
        return objective.detach()

    def _are_long(self) -> bool:
        """Whether steps take too long; the first one alone may have to prepare much."""
        return min(self.seconds) > MOST_SECONDS * (1 if len(self.seconds) > 1 else 10)

    def computed(self) -> list[Tensor]:
        """Return everything that some steps and an evaluation compute.

        The last batch may have another size. Bits that agree for many images may differ for few,
        so each size is computed.
        """
        found: list[Any] = [self.images]
        for size in self.sizes:
            for step in range(CHECKED_STEPS):
                torch.manual_seed(step)
                found += [self.step(size), *(p.grad for p in self.network.parameters())]
                if torch.get_num_threads() == 1 and self._are_long():
                    raise TimeoutError
        found += [p.detach() for p in self.network.parameters()]
        found += self.network.buffers()
        with torch.no_grad(), self.trainer.precision_plugin.val_step_context():
            self.network.eval()
            for loader in self.trainer.val_dataloaders:  # type: ignore[union-attr]
                for pixels, names in itertools.islice(loader, 1):
                    for size in sizes_of(loader.sampler):
                        logits = self.network(pixels[:size]).float()
                        found += [logits, self.loss(logits, names[:size])]
        return [tensor for tensor in found if tensor is not None]


def compare(most: int, trainer: lightning.Trainer, module: Any) -> Comparison | None:
    """Compare a few steps with one thread and with ``most``.

    None where a step takes long, and where a person's own class cannot be copied or fails on the
    copy.
    """
    outcomes, step_s = [], {}
    try:
        for number in (1, most):
            with _as_before(module):  # both begin with the same random states
                torch.set_num_threads(number)
                steps = _Steps(trainer, module)
                outcomes.append(steps.computed())
                step_s[number] = typical(steps.seconds[1:])
    except Exception:  # a long step, or a person's own class, which fails in the training too
        if interruption.received() is not None:  # the class has made an error of a signal
            raise
        return None
    one, other = outcomes
    same = len(one) == len(other) and all(map(_same_bits, one, other))
    return Comparison(same, step_s)


def seconds_of_steps(
    numbers: Sequence[int], trainer: lightning.Trainer, module: Any, *, training_s: float
) -> dict[int, float]:
    """Return typical seconds of a step with each number of threads, tried in turns.

    training_s: what the whole training may take; a trial takes about 2 % of it for each number,
    and at most a second.
    """
    found: dict[int, list[float]] = {number: [] for number in numbers}
    block_s = min(TRIED_S, TRIED_SHARE * training_s)
    with _as_before(module):
        steps = _Steps(trainer, module)
        for number in (*numbers, *numbers):
            torch.set_num_threads(number)
            steps.seconds.clear()
            while len(steps.seconds) < TRIED_STEPS or sum(steps.seconds) < block_s:
                steps.step(steps.sizes[0])
            found[number] += steps.seconds[1:]  # the first one warms up
    return {number: typical(seconds) for number, seconds in found.items()}


def typical(seconds: Collection[float]) -> float:
    """Return the mean without the two longest; of few times the median.

    Threads that wait for each other make some steps many times longer, which no median shows.
    """
    if len(seconds) < FEW:
        return statistics.median(seconds)
    return statistics.mean(sorted(seconds)[:-2])


@contextmanager
def _as_before(module: Any) -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        with undisturbed(module, module.device):
            yield
    finally:
        torch.set_num_threads(before)


def _same_bits(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a, b) or bool((torch.eq(a, b) | (a.isnan() & b.isnan())).all())


def sizes_of(order: EpochOrder) -> list[int]:
    """Return the different sizes of the batches of an epoch, the largest first."""
    return sorted({len(batch) for batch in order}, reverse=True)
