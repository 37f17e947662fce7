"""The LightningModule: one training step, one evaluation step, sums instead of metric objects.

Nothing is logged within an epoch. Loss and correctness are summed as tensors on the device, and
read once at its end. A read in every step would make the processor wait for the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.data.batches import epoch_seed
from pipeline.penalties import penalty, weight_matrices
from pipeline.training.attachments import ValidationMetrics
from pipeline.training.hardware import sums_in

# The validation loaders, in the order of the data module.
EVALUATED = ("val", "train")
Batch = tuple[Tensor, Tensor]


class Classifier(lightning.LightningModule):
    """A network with its loss and its optimizer, in the form that Lightning needs.

    network: images ``[B, C, H, W]`` float → logits ``[B, K]``.
    loss: ``(logits, labels [B]) → scalar mean``.
    metrics: further measurements of the validation part.
    make_optimizer: network → optimizer.  make_schedule: optimizer → `pipeline.optim.Schedule`.
    After each epoch ``measured`` holds its numbers, equal on all processes: ``val/loss``,
    ``val/cross_entropy``, ``val/accuracy`` and the same under ``train/`` (in evaluation mode,
    without augmentation), and ``train/objective``, the mean of the minimised quantity.
    ``lost_at`` is the step of that epoch, counted from 1, from which on the objective was not
    finite; None where it was finite at every step.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        loss: Callable[[Tensor, Tensor], Tensor],
        l1: float,
        l2: float,
        make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
        make_schedule: Callable[[torch.optim.Optimizer], Any],
        seed: int,
        metrics: ValidationMetrics | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.l1, self.l2 = l1, l2
        self.make_optimizer = make_optimizer
        self.make_schedule = make_schedule
        self.seed = seed
        self.metrics = metrics or ValidationMetrics({})
        self.measured: dict[str, float] = {}
        self.lost_at: int | None = None
        self._objectives: list[Tensor] = []  # of the steps of this epoch, on the device
        self._counts: list[int] = []  # of their images
        self._weights = weight_matrices(network)
        self._sums: dict[str, Tensor] = {}
        self._schedule: Any = None
        self._plateau_state: dict[str, Any] | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[B, K]``."""
        return self.network(images)

    # --- training -------------------------------------------------------------------------------

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed dropout at the first batch of an epoch, so that a resumed run is exact.

        The seed depends on the run's seed, the epoch, and the process.
        """
        if batch_idx == 0:
            torch.manual_seed(epoch_seed(self.seed, self.current_epoch, 1 + self.global_rank))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the objective: the mean loss of the batch plus the penalties."""
        images, labels = batch
        objective = self.loss(self.network(images), labels)
        if self.l1 or self.l2:
            objective = objective + penalty(self._weights, l1=self.l1, l2=self.l2)
        self._objectives.append(objective.detach())
        self._counts.append(len(labels))
        return objective

    def configure_optimizers(self) -> Any:
        """Return the optimizer and its schedule; a plateau schedule is stepped by this module."""
        optimizer = self.make_optimizer(self.network)
        self._schedule = self.make_schedule(optimizer)
        if self._schedule.monitor is not None:
            if self._plateau_state is not None:
                self._schedule.scheduler.load_state_dict(self._plateau_state)
            stepped, interval = self._schedule.warmup, "step"
        else:
            stepped, interval = self._schedule.scheduler, self._schedule.interval
        if stepped is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": stepped, "interval": interval},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the plateau schedule's state."""
        if self._schedule.monitor is not None:
            checkpoint["plateau"] = self._schedule.scheduler.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the plateau schedule's state."""
        self._plateau_state = checkpoint.get("plateau")
        if self._schedule is not None and self._plateau_state is not None:
            self._schedule.scheduler.load_state_dict(self._plateau_state)

    # --- evaluation -----------------------------------------------------------------------------

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add one batch to the sums of its loader."""
        images, labels = batch
        logits = self.network(images).float()
        prefix, count = EVALUATED[dataloader_idx], len(labels)
        if prefix == "val":
            self.metrics.update(logits, labels)
        self._add(f"{prefix}/loss", self.loss(logits, labels) * count, count)
        self._add(
            f"{prefix}/cross_entropy",
            functional.cross_entropy(logits, labels, reduction="sum"),
            count,
        )
        self._add(f"{prefix}/accuracy", (logits.argmax(1) == labels).sum(), count)

    def on_validation_epoch_end(self) -> None:
        """Turn the sums of the epoch into means over all processes, and step a plateau schedule.

        Lightning would step it after the checkpoint is written, and a resumed run would miss one
        step.
        """
        self._add_objectives()
        self.measured = {
            "train/objective": self._mean("objective"),
            "learning_rate": float(self.trainer.optimizers[0].param_groups[0]["lr"]),
        }
        self.lost_at = self._first_lost_step()
        for prefix in EVALUATED:
            for metric in ("loss", "cross_entropy", "accuracy"):
                self.measured[f"{prefix}/{metric}"] = self._mean(f"{prefix}/{metric}")
        self.measured |= self.metrics.compute()
        # All processes hold the same value already, so nothing is left to reduce. The recorder
        # sends all numbers to the loggers.
        for name in ("val/loss", "val/accuracy"):
            self.log(name, self.measured[name], prog_bar=True, logger=False, sync_dist=False)
        if self._schedule.monitor is not None:
            self._schedule.scheduler.step(self.measured[self._schedule.monitor])

    def _first_lost_step(self) -> int | None:
        objectives, self._objectives = self._objectives, []
        if math.isfinite(self.measured["train/objective"]) or not objectives:
            return None
        lost = torch.stack(objectives).isfinite().logical_not().nonzero()
        return int(lost[0]) + 1 if len(lost) else None

    def _add_objectives(self) -> None:
        """Sum the objectives of an epoch's steps, each weighted by its images, in their order."""
        if not self._objectives:
            return
        counts = torch.tensor(self._counts, device=self.device)
        amounts = (torch.stack(self._objectives) * counts).to(self._kind)
        totals = torch.stack([amounts.cumsum(0)[-1], counts.sum().to(self._kind)])
        self._sums["objective"] = totals
        self._counts = []

    # --- sums -----------------------------------------------------------------------------------

    @property
    def _kind(self) -> torch.dtype:
        return sums_in(self.device)

    def _add(self, name: str, amount: Tensor, count: int) -> None:
        # Filled on the device, so that the processor neither copies nor waits.
        counted = torch.full((), count, dtype=self._kind, device=amount.device)
        step = torch.stack([amount.detach().to(self._kind), counted])
        total = self._sums.get(name)
        self._sums[name] = step if total is None else total + step

    def _mean(self, name: str) -> float:
        total = self._sums.pop(name, None)
        if total is None:  # this process had no image of that split
            total = torch.zeros(2, dtype=self._kind, device=self.device)
        if self.trainer.world_size > 1:
            total = self.trainer.strategy.reduce(total, reduce_op="sum")
        return float(total[0] / total[1])
