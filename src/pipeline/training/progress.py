"""What a person sees while a model trains: one line an epoch, and a bar within it on a terminal."""

from __future__ import annotations

import sys

from pytorch_lightning.callbacks import RichProgressBar

from pipeline.records import EpochRecord


def epoch_line(row: EpochRecord, *, max_epochs: int) -> str:
    """Return one epoch's numbers in one line."""
    m = row.metrics
    return (
        f"epoch {row.epoch + 1:>3}/{max_epochs}"
        f"   train loss {m['train/loss']:.4f}  accuracy {m['train/accuracy']:7.2%}"
        f"   val loss {m['val/loss']:.4f}  accuracy {m['val/accuracy']:7.2%}"
        f"   rate {m['learning_rate']:.2g}   {m['time/images_per_s']:,.0f} images/s"
    )


def bar() -> RichProgressBar | None:
    """Return a progress bar where there is a terminal to draw it on.

    It is redrawn every 50 steps: at every step it would cost a small model a tenth of its speed.
    """
    return RichProgressBar(refresh_rate=50, leave=False) if sys.stderr.isatty() else None
