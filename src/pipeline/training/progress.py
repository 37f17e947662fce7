"""The display of a training: one line an epoch, and on a terminal a bar within it."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import RichProgressBar

from pipeline.records import EpochRecord


def epoch_line(row: EpochRecord, *, max_epochs: int, width: int | None = None) -> str:
    """Return loss and accuracy of both parts, learning rate and speed, each with its name.

    width: columns of the terminal, by default those of ours. A narrow one goes without the speed.
    """
    m = row.metrics
    line = f"epoch {row.epoch + 1:>{len(str(max_epochs))}}/{max_epochs}"
    for part in ("train", "val"):
        line += f"  {part} loss {m[f'{part}/loss']:.4f} acc {m[f'{part}/accuracy']:.2%}"
    line += f"  lr {m['learning_rate']:.2g}"
    speed = f"  {m['time/images_per_s']:,.0f} img/s"
    columns = width or shutil.get_terminal_size((100, 24)).columns
    return line + speed if len(line + speed) <= columns else line


class EpochBar(RichProgressBar):
    """Lightning's bar, with epochs counted from 1 as in `epoch_line`."""

    in_plain_loops = True

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Redraw where it is time to: Lightning gathers numbers in every step."""
        done = batch_idx + 1
        if done % self.refresh_rate == 0 or done == trainer.num_training_batches:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def _get_train_description(self, current_epoch: int) -> str:
        description = f"Epoch {current_epoch + 1}/{self.trainer.max_epochs}"
        # The bar flickers where its two descriptions differ in length.
        return description.ljust(len(self.validation_description))


def bar() -> RichProgressBar | None:
    """Return a progress bar on a terminal, and None elsewhere.

    It is redrawn every 50 steps. Redrawn at every step, it would slow a small model by a tenth.
    """
    return EpochBar(refresh_rate=50, leave=False) if sys.stderr.isatty() else None
