"""The number of processor threads of a training, chosen while it trains.

A sum may be added up in another order with another number of threads, and then its last bits
differ. So a number is chosen only where it changes no bit: the first steps are computed with one
thread and with all, on copies, and must agree in every bit. `MKL_CBWR` lets the products of
matrices agree. What is measured beside the steps is computed with one thread meanwhile, see
`steady`.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor

from pipeline.penalties import penalty, weight_matrices
from pipeline.training.plain_loops import is_plain
from pipeline.training.steady import one_thread, threads_change
from pipeline.training.thread_choice import ThreadChoice

CHECKED_STEPS = 2
MOST_IMAGES = 2048  # of a batch; longer steps share the machine well, and would be dear to check


class Threads(lightning.Callback):
    """Chooses between one thread and all, where no bit depends on it.

    say: takes the line on the first choice.
    """

    in_plain_loops = True

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        self._say = say
        self._choice: ThreadChoice | None = None
        self._most = 1
        self._began = 0.0

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Find out whether there is a choice."""
        self._most = torch.get_num_threads()
        if self._most < 2 or pl_module.device.type != "cpu" or not _is_ours_alone(trainer):
            return
        order: Any = trainer.train_dataloader.sampler  # type: ignore[union-attr]
        if order.batch_size <= MOST_IMAGES and equal_with(self._most, trainer, pl_module):
            self._choice = ThreadChoice(self._most)
            threads_change(change=True)

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Begin to measure anew: what lies between epochs is no step."""
        self._began = 0.0
        if self._choice is not None:
            torch.set_num_threads(self._choice.now)

    def on_validation_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Evaluate with the number that is better for the steps."""
        if self._choice is not None:
            torch.set_num_threads(self._choice.best)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Set the number of threads for the next step."""
        choice = self._choice
        if choice is None:
            return
        now = time.perf_counter()
        if self._began:
            before = choice.now
            choice.saw(now - self._began)
            if choice.now != before:
                torch.set_num_threads(choice.now)
            if choice.decided and self._say is not None:
                self._say(_line(choice))
                self._say = None
        self._began = now

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Give the process its threads back."""
        self._give_back()

    def on_exception(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        """Give the process its threads back."""
        self._give_back()

    def _give_back(self) -> None:
        if self._choice is not None:
            threads_change(change=False)
            torch.set_num_threads(self._most)
            self._choice = None


def _line(choice: ThreadChoice) -> str:
    one, all_ = (1000 * choice.step_s[number] for number in (1, choice.most))
    return (
        f"threads: {choice.now} of {choice.most}, since a step takes {one:.1f} ms with one and "
        f"{all_:.1f} ms with all; the results are the same (trainer.num_threads fixes it)"
    )


def _is_ours_alone(trainer: lightning.Trainer) -> bool:
    """Return whether no code of a person's own computes anything in the training."""
    module: Any = trainer.lightning_module
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    known = (__name__.partition(".")[0], lightning.__name__)
    return (
        is_plain(trainer)
        and not module.metrics
        and all(type(callback).__module__.startswith(known) for callback in callbacks)
    )


def equal_with(most: int, trainer: lightning.Trainer, module: Any) -> bool:
    """Return whether steps and evaluation have the same bits with one thread as with ``most``.

    Nothing of the training changes: copies of the network take two steps with the first batch, and
    with as many of its images as the last batch has.
    """
    before = torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=[]):
            outcomes = []
            for number in (1, most):
                torch.set_num_threads(number)
                outcomes.append(_computed(trainer, module))
    finally:
        torch.set_num_threads(before)
    one, other = outcomes
    return len(one) == len(other) and all(map(_same_bits, one, other))


def _same_bits(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a, b) or bool((torch.eq(a, b) | (a.isnan() & b.isnan())).all())


def _computed(trainer: lightning.Trainer, module: Any) -> list[Tensor]:
    """Return everything that steps and an evaluation compute."""
    network = copy.deepcopy(module.network).train()
    optimizer = module.make_optimizer(network)
    images, labels = next(iter(trainer.train_dataloader))  # type: ignore[arg-type]
    found = [images]
    for size in _sizes(trainer, len(labels)):
        for step in range(CHECKED_STEPS):
            torch.manual_seed(step)
            with trainer.precision_plugin.train_step_context():
                objective = module.loss(network(images[:size]), labels[:size])
                if module.l1 or module.l2:
                    objective = objective + penalty(
                        weight_matrices(network), l1=module.l1, l2=module.l2
                    )
            optimizer.zero_grad()
            objective.backward()
            if trainer.gradient_clip_val is not None:
                with one_thread():
                    torch.nn.utils.clip_grad_norm_(network.parameters(), trainer.gradient_clip_val)
            optimizer.step()
            found += [objective.detach(), *(p.grad for p in network.parameters())]
    found += [p.detach() for p in network.parameters()]
    found += [b for b in network.buffers()]
    with torch.no_grad(), trainer.precision_plugin.val_step_context():
        network.eval()
        for loader in trainer.val_dataloaders:  # type: ignore[union-attr]
            for pixels, names in itertools.islice(loader, 1):
                logits = network(pixels).float()
                found += [logits, module.loss(logits, names)]
    return [tensor for tensor in found if tensor is not None]


def _sizes(trainer: lightning.Trainer, batch_size: int) -> list[int]:
    loader: Any = trainer.train_dataloader
    order = loader.sampler
    last = len(order.indices) % batch_size
    return [batch_size, last] if last > 1 else [batch_size]
