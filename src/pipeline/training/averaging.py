"""Stochastic weight averaging that measures what it keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor


class WeightsOfLastEpochs(WeightAveraging):
    """Keeps the mean of the weights at the ends of the last epochs (Izmailov et al. 2018).

    The learning rate is that of the schedule.  start: share of the epochs after which the mean
    begins, 0 ≤ start < 1.  Until then the weights themselves are measured, then their mean.
    """

    in_plain_loops = True

    def __init__(self, start: float) -> None:
        if not 0 <= start < 1:
            raise ValueError(f"start={start}: must be at least 0 and below 1")
        super().__init__()
        self.start = start
        self._averages = False

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Add the weights behind the last step of an epoch, before they are measured."""
        first = math.floor(self.start * (trainer.max_epochs or 1))
        if trainer.current_epoch < first or not _ends_epoch(trainer, batch_idx):
            return
        assert self._average_model is not None
        self._average_model.update_parameters(pl_module)
        self._averages = True

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Do nothing: the mean has the weights of this epoch already."""

    def _swap_models(self, pl_module: lightning.LightningModule) -> None:
        if self._averages:
            super()._swap_models(pl_module)

    def _copy_average_to_current(self, pl_module: lightning.LightningModule) -> None:
        if self._averages:
            super()._copy_average_to_current(pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Return whether the mean has begun."""
        return {**super().state_dict(), "averages": self._averages}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from the state of `state_dict`."""
        super().load_state_dict(state_dict)
        self._averages = state_dict["averages"]


def measured_weights(trainer: lightning.Trainer, module: Any, part: str) -> Mapping[str, Tensor]:
    """Return the weights that the last validation has measured: averaged where they are.

    part: name of the submodule; "" is the whole module.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        averages = getattr(callback, "_averages", True)
        if isinstance(callback, WeightAveraging) and callback._average_model and averages:
            module = callback._average_model.module
    weights: Mapping[str, Tensor] = module.get_submodule(part).state_dict()
    return weights


def _ends_epoch(trainer: lightning.Trainer, batch_idx: int) -> bool:
    return trainer.should_stop or batch_idx + 1 >= trainer.num_training_batches
