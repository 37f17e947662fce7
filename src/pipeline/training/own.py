"""A LightningModule of a person's own: it trains itself, and the pipeline measures it.

Its steps, loss and optimizer stay as they are. Its ``forward`` maps images to logits, so the same
numbers can be measured as of any network: cross-entropy and accuracy of both parts, in evaluation
mode. They are the ``loss`` of the record. What the module logs is recorded under its own names.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor
from torch.nn import functional

from pipeline.data.batches import epoch_seed
from pipeline.errors import ConfigError
from pipeline.training.attachments import ValidationMetrics
from pipeline.training.hardware import sums_in

# The parts that are measured, in the order of `Images.measured_batches`.
MEASURED = ("val", "train")


def check_module(module: lightning.LightningModule) -> None:
    """Raise `ConfigError` for a module that does not say how it is trained."""
    for name in ("training_step", "configure_optimizers"):
        if not is_overridden(name, module):
            raise ConfigError(
                f"model._target_: {type(module).__name__} is a LightningModule without {name}(). "
                "Write it, or derive from torch.nn.Module: then the pipeline trains it."
            )


def let_be_validated(module: lightning.LightningModule) -> None:
    """Give a module without a ``validation_step`` one that does nothing.

    Without any, Lightning leaves the validation out, and nothing would be measured.
    """
    if not is_overridden("validation_step", module):
        vars(module)["validation_step"] = _no_step


def _no_step(batch: Any, batch_idx: int) -> None:
    """Leave the batch to `OwnMeasures`."""


class OwnMeasures(lightning.Callback):
    """Seeds a person's own module at each epoch, and measures it after each.

    measured, lost_at: as of `pipeline.training.module.Classifier`; ``train/objective`` is the mean
    of the losses that ``training_step`` has returned, and is absent where it returned none.
    """

    def __init__(self, *, seed: int, metrics: ValidationMetrics) -> None:
        self.seed = seed
        self.metrics = metrics
        self.measured: dict[str, float] = {}
        self.lost_at: int | None = None
        self._losses: list[Tensor] = []
        self._counts: list[int] = []  # of the images of each step

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Seed all generators at the first batch, so that a resumed run is exact."""
        if batch_idx == 0:
            seed = epoch_seed(self.seed, trainer.current_epoch, 1 + trainer.global_rank)
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Keep the loss of the step, without waiting for its value."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, Tensor) and loss.numel() == 1:
            # Lightning has divided it by the number of batches of a step.
            self._losses.append(loss.detach() * trainer.accumulate_grad_batches)
            self._counts.append(len(batch[1]))

    def on_validation_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Measure both parts; averaged weights are in place at this moment."""
        if trainer.sanity_checking:
            return
        optimizers = trainer.optimizers
        rate = float(optimizers[0].param_groups[0]["lr"]) if optimizers else float("nan")
        self.measured = {**self._objective(), "learning_rate": rate}
        batches: Any = trainer.datamodule.measured_batches()  # type: ignore[attr-defined]
        for part, loader in zip(MEASURED, batches, strict=True):
            self.measured |= self._part(part, loader, trainer, pl_module)
        self.measured |= self.metrics.compute()
        # Early stopping reads it there.
        trainer.callback_metrics["val/loss"] = torch.tensor(self.measured["val/loss"])

    def _objective(self) -> dict[str, float]:
        losses, self._losses = self._losses, []
        counts, self._counts = self._counts, []
        self.lost_at = None
        if not losses:
            return {}
        values = torch.stack(losses).cpu().double()
        lost = values.isfinite().logical_not().nonzero()
        self.lost_at = int(lost[0]) + 1 if len(lost) else None
        return {"train/objective": float(values @ torch.tensor(counts).double()) / sum(counts)}

    def _part(
        self, part: str, loader: Any, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> dict[str, float]:
        kind = sums_in(module.device)
        total = torch.zeros(3, dtype=kind, device=module.device)
        for images, labels in loader:
            logits = module(images).float()
            if part == "val":
                self.metrics.update(logits, labels)
            loss = functional.cross_entropy(logits, labels, reduction="sum")
            right = (logits.argmax(1) == labels).sum()
            total += torch.stack(
                [part.to(kind) for part in (loss, right, loss.new_tensor(len(labels)))]
            )
        if trainer.world_size > 1:
            total = trainer.strategy.reduce(total, reduce_op="sum")
        loss_sum, right_sum, count = total.tolist()
        return {
            f"{part}/loss": loss_sum / count,
            f"{part}/cross_entropy": loss_sum / count,
            f"{part}/accuracy": right_sum / count,
        }


def logged_by(trainer: lightning.Trainer, *, taken: Mapping[str, float]) -> dict[str, float]:
    """Return the numbers that a person's own code has logged, by its own names.

    A name of the pipeline's own numbers gets ``own/`` in front.  taken: the pipeline's numbers.
    """
    found = {}
    for name, value in trainer.callback_metrics.items():
        number = float(value)
        ours = name in taken and number == torch.tensor(taken[name])
        if not ours and not name.endswith("_step"):
            found[f"own/{name}" if name in taken else name] = number
    return found
