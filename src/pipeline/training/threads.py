"""The number of processor threads of a training, chosen while it trains.

Two threads that wait for each other at every small step make a busy machine many times slower than
one. But a sum may be added up in another order with another number of threads, and then its last
bits differ. So the first steps are computed with one thread and with all, on copies
(`thread_trials`). `MKL_CBWR` lets the products of matrices agree.

* Where all bits agree, the number follows the machine from step to step (`thread_choice`). What is
  measured beside the steps is computed with one thread meanwhile, see `steady`.
* Where they differ, one thread is taken only on a machine that is clearly busy. The number is kept,
  in the checkpoint too. A machine that becomes busy is noticed between two epochs.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytorch_lightning as lightning
import torch

from pipeline.training.plain_loops import is_plain
from pipeline.training.steady import threads_change
from pipeline.training.thread_choice import ThreadChoice
from pipeline.training.thread_trials import MOST_IMAGES, compare, seconds_of_steps, typical

BUSY = 0.7  # times the step with all threads: one thread is faster, and the machine is busy
FEWEST_STEPS = 100  # of a training, for trials to pay
WATCHED_STEPS = 64
FIXES = "trainer.num_threads fixes it"


class Threads(lightning.Callback):
    """Chooses between one thread and all.

    say: takes the line on the first choice, and on a later one where bits depend on it.
    kept: the number of a training whose bits depend on it, else None.  one_from_epoch: 0-based
    epoch from which it has one thread; None where it never changed.
    """

    in_plain_loops = True

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        self.kept: int | None = None
        self.one_from_epoch: int | None = None
        self._say = say or (lambda line: None)
        self._choice: ThreadChoice | None = None
        self._said = False
        self._most = torch.get_num_threads()
        self._began = 0.0
        self._one_s = 0.0  # seconds of a step with one thread
        self._recent: deque[float] = deque(maxlen=WATCHED_STEPS)

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Find out whether there is a choice."""
        self._most = torch.get_num_threads()
        if self.kept is not None and self.kept <= self._most:  # of a training that goes on
            torch.set_num_threads(self.kept)
            return
        self.kept = None
        if self._most < 2 or pl_module.device.type != "cpu" or not is_plain(trainer):
            return
        order: Any = trainer.train_dataloader.sampler  # type: ignore[union-attr]
        found = order.batch_size <= MOST_IMAGES and compare(self._most, trainer, pl_module)
        if not found:
            return
        if found.same_bits and _is_ours_alone(trainer):
            self._choice = ThreadChoice(self._most)
            threads_change(change=True)
        elif trainer.estimated_stepping_batches >= FEWEST_STEPS:
            self.kept, self._one_s = self._most, found.step_s[1]
            if self._one_s < found.step_s[self._most]:
                step_s = self._tried((self._most, 1), trainer, pl_module)
                self._keep_one_if_busy(step_s, epoch=None)

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Begin to measure anew: what lies between epochs is no step."""
        self._began = 0.0
        if self._choice is not None:
            torch.set_num_threads(self._choice.now)
        elif self._recent and self._one_s < BUSY * typical(self._recent):
            step_s = {self._most: typical(self._recent)}
            step_s |= self._tried((1,), trainer, pl_module)
            self._keep_one_if_busy(step_s, epoch=trainer.current_epoch)
        self._recent.clear()

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
        now = time.perf_counter()
        if self._began and self._choice is not None:
            self._follow(self._choice, now - self._began)
        elif self._began and self.kept == self._most:
            self._recent.append(now - self._began)
        self._began = now

    def state_dict(self) -> dict[str, Any]:
        """Return the number that a resumed training keeps."""
        return {
            "kept": self.kept,
            "one_from_epoch": self.one_from_epoch,
            "one_s": self._one_s,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from the state of `state_dict`."""
        self.kept = state_dict["kept"]
        self.one_from_epoch = state_dict["one_from_epoch"]
        self._one_s = state_dict["one_s"]

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

    def _follow(self, choice: ThreadChoice, seconds: float) -> None:
        before = choice.now
        choice.saw(seconds)
        if choice.now != before:
            torch.set_num_threads(choice.now)
        if choice.decided and not self._said:
            self._said = True
            self._say(f"{_line(choice.now, choice.step_s)}; the results are the same ({FIXES})")

    def _tried(
        self, numbers: Sequence[int], trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> dict[int, float]:
        training_s = self._one_s * trainer.estimated_stepping_batches
        step_s = seconds_of_steps(numbers, trainer, module, training_s=training_s)
        self._one_s = step_s[1]
        return step_s

    def _keep_one_if_busy(self, step_s: Mapping[int, float], *, epoch: int | None) -> None:
        if step_s[1] > BUSY * step_s[self._most]:
            return
        self.kept, self.one_from_epoch = 1, epoch
        torch.set_num_threads(1)
        self._say(f"{_line(1, step_s)}; the last digits of the results depend on it ({FIXES})")

    def _give_back(self) -> None:
        threads_change(change=False)
        torch.set_num_threads(self._most)
        self._choice = None


def _line(number: int, step_s: Mapping[int, float]) -> str:
    one, all_ = (1000 * step_s[each] for each in sorted(step_s))
    return (
        f"threads: {number} of {max(step_s)}, since a step takes {one:.1f} ms with one and "
        f"{all_:.1f} ms with all"
    )


def _is_ours_alone(trainer: lightning.Trainer) -> bool:
    """Return whether only a network, a loss and an optimizer may be a person's own classes."""
    module: Any = trainer.lightning_module
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    known = (__name__.partition(".")[0], lightning.__name__)
    return not module.metrics and all(
        type(callback).__module__.startswith(known) for callback in callbacks
    )
