"""The numbers of each epoch as an `EpochRecord`: kept across kills, passed to observers once."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor

from pipeline.errors import TrainingError
from pipeline.records import EpochRecord
from pipeline.training.averaging import measured_weights
from pipeline.training.own import logged_by

Observer = Callable[[EpochRecord], bool | None]


class Measured(Protocol):
    """What a training knows after each epoch; see `pipeline.training.module.Classifier`."""

    measured: dict[str, float]
    lost_at: int | None


class Recorder(Checkpoint):
    """Collects the numbers of every epoch, and the weights of the best one.

    Lightning calls a `Checkpoint` after all other callbacks and the module itself, so whatever they
    have logged at the end of an epoch is there. It also keeps whether one of them, such as early
    stopping, has ended the training: Lightning forgets this, and a run that was killed behind its
    last epoch would be trained further. What an observer wants depends on more than the run.

    observers: called on the main process once an epoch; an observer that returns True ends the
    training.  keep: ``last``, or ``best`` for the weights of the epoch with the lowest val/loss.
    Raises `TrainingError` when a loss is not finite, after the epoch has been recorded.
    """

    def __init__(
        self, observers: Sequence[Observer], *, keep: str, own: Measured | None = None
    ) -> None:
        """own: measures a module of a person's own; None for our own, which measures itself."""
        self.own = own
        self.observers = observers
        self.keep = keep
        self.history: list[EpochRecord] = []
        self.resumed_from = 0
        self.best_epoch = -1
        self.best_weights: dict[str, Tensor] = {}
        self._started = self._trained = self._ended = 0.0
        self._has_ended = False

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Train no epoch more where a callback had ended the training before a kill."""
        trainer.should_stop = trainer.should_stop or self._has_ended

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_validation_start(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Stop the clock of the training steps: the evaluation begins."""
        self._trained = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Append the epoch to the history. Its validation has ended, so all numbers are there."""
        self._has_ended = trainer.should_stop
        source = self.own or module
        metrics = {**source.measured, **self._times(trainer)}
        metrics |= logged_by(trainer, taken=metrics)
        row = EpochRecord(epoch=trainer.current_epoch, step=trainer.global_step, metrics=metrics)
        self.history.append(row)
        lowest = min(self.history, key=lambda r: _or_infinity(r.metrics["val/loss"]))
        if self.keep == "best" and lowest is row:
            self.best_epoch = row.epoch
            weights = measured_weights(trainer, module, "" if self.own else "network")
            self.best_weights = copy.deepcopy(_on_cpu(weights))

        stops = [observer(row) for observer in self.observers] if trainer.is_global_zero else []
        for logger in trainer.loggers:
            logger.log_metrics(dict(row.metrics), step=row.step)
            logger.save()
        self._refuse_non_finite(row, source)
        if trainer.strategy.reduce_boolean_decision(any(stops), all=False):
            trainer.should_stop = True

    def _times(self, trainer: lightning.Trainer) -> dict[str, float]:
        loader: Any = trainer.train_dataloader
        num_images: int = sum(len(index) for index in loader.sampler) * trainer.world_size
        # Since the end of the last epoch, so that the time of the observers counts.
        now = time.perf_counter()
        epoch_s, self._ended = now - (self._ended or self._started), now
        images_per_s = num_images / (self._trained - self._started)
        return {"time/epoch_s": epoch_s, "time/images_per_s": images_per_s}

    def _refuse_non_finite(self, row: EpochRecord, source: Measured) -> None:
        for name in ("train/objective", "train/loss", "val/loss"):
            value, rate = row.metrics.get(name, 0.0), row.metrics["learning_rate"]
            if not math.isfinite(value):
                lost = f", first at its step {source.lost_at}" if source.lost_at else ""
                raise TrainingError(
                    f"{name}={value} after epoch {row.epoch + 1}{lost}: the loss must stay finite. "
                    f"Lower optimizer.learning_rate (now {rate:g}), "
                    "or set trainer.gradient_clip_norm=1."
                )

    def state_dict(self) -> dict[str, Any]:
        """Return text, numbers and tensors: a checkpoint must load without unpickling code.

        The history is one text: a checkpoint of thousands of numbers takes long to write.
        """
        rows = [
            {"epoch": r.epoch, "step": r.step, "metrics": dict(r.metrics)} for r in self.history
        ]
        return {
            "history": json.dumps(rows),
            "best_epoch": self.best_epoch,
            "best_weights": self.best_weights,
            "has_ended": self._has_ended,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from the state of `state_dict`."""
        rows = state_dict["history"]
        self.history = [
            EpochRecord(**row) for row in (json.loads(rows) if isinstance(rows, str) else rows)
        ]
        self.resumed_from = len(self.history)
        self.best_epoch = state_dict["best_epoch"]
        self.best_weights = state_dict["best_weights"]
        self._has_ended = state_dict.get("has_ended", False)  # older checkpoints lack it


def _or_infinity(value: float) -> float:
    return value if math.isfinite(value) else math.inf


def _on_cpu(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in weights.items()}
