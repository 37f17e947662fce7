"""After a training has lost its numbers: where it happened first, and the weights before that.

The lost epoch is trained again from its checkpoint, step by step as before, and everything is
looked at. An ordinary training pays nothing for it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor, nn

from pipeline.config.schema import Settings
from pipeline.records import Prepared
from pipeline.training.assembly import images_of, module_of
from pipeline.training.attachments import ValidationMetrics
from pipeline.training.hardware import choose_hardware, without_search_for_cuda
from pipeline.training.trainer import trainer_of


@dataclass(frozen=True)
class Loss:
    """The first number that was not finite.

    place: in words, such as ``the output of layers.3 (Linear)``.  epoch: 0-based.  step: of the
    epoch, counted from 1; None where only the evaluation behind the steps met it.
    weights: of the network before that step, on the CPU, all of them finite.
    """

    place: str
    epoch: int
    step: int | None
    weights: dict[str, Tensor]


def find_loss(
    network: nn.Module,
    prepared: Prepared,
    *,
    settings: Settings,
    checkpoint: Path | None,
    until_epoch: int,
) -> Loss | None:
    """Train the lost epoch again on one device, and return where a number was lost first.

    network: with its initial weights.  checkpoint: of the epoch before; without one, the training
    begins at its first epoch.  until_epoch: 0-based epoch whose loss was not finite.
    Returns None where the numbers stay finite this time.
    """
    hardware = choose_hardware(network, settings, card=prepared.card)
    if hardware.channels_last:
        network = network.to(memory_format=torch.channels_last)
    data = images_of(prepared, settings, channels_last=hardware.channels_last)
    watch = _Watch(until_epoch=until_epoch, scaled=hardware.precision == "16")
    trainer = trainer_of(settings.trainer, hardware, callbacks=[watch], resume=None, show=False)
    module = module_of(
        network,
        settings,
        metrics=ValidationMetrics({}),
        data=data,
        world_size=1,
        precision=hardware.precision,
    )
    with warnings.catch_warnings(), without_search_for_cuda(hardware.accelerator):
        # The recorder and the signals of the first training are left out.
        warnings.filterwarnings("ignore", message=".*callbacks used to create the checkpoint.*")
        try:
            trainer.fit(
                module,
                datamodule=data,
                ckpt_path=checkpoint,
                weights_only=True if checkpoint else None,
            )
        except _Ended as ended:
            return ended.loss
    return None


class _Ended(Exception):
    """Ends the second training: a number was lost, or the lost epoch is over."""

    def __init__(self, loss: Loss | None) -> None:
        super().__init__()
        self.loss = loss


class _Watch(lightning.Callback):
    """Looks at inputs, outputs, gradients and weights in the order in which they come to be.

    scaled: whether the loss is scaled, so that infinite gradients belong to the method.
    """

    def __init__(self, *, until_epoch: int, scaled: bool) -> None:
        self._until_epoch = until_epoch
        self._scaled = scaled
        self._before: dict[str, Tensor] = {}
        self._step: int | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Look at every module of the network from now on."""
        self._module = pl_module
        network = pl_module.network
        network.register_forward_pre_hook(
            lambda _, inputs: self._check(inputs, "the images of the batch")
        )
        for name, module in network.named_modules():
            place = f"the output of {_shown(name, module)}"
            module.register_forward_hook(
                lambda _, __, output, place=place: self._check([output], place)
            )

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the weights before the step."""
        self._step = batch_idx + 1
        self._keep()

    def on_before_backward(self, trainer: lightning.Trainer, pl_module: Any, loss: Tensor) -> None:
        """Look at the objective, whose parts were finite."""
        self._check([loss], "the loss")

    def on_after_backward(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Look at the gradients, from the last layer to the first as they come to be."""
        if self._scaled:
            return
        modules = _modules(pl_module.network)
        for name, parameter in reversed(list(pl_module.network.named_parameters())):
            holder, _, own = name.rpartition(".")
            if parameter.grad is not None:
                shown = _shown(holder, modules[holder])
                self._check([parameter.grad], f"the gradient of the {own} of {shown}")

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        """Look at weights and running statistics after the step."""
        modules = _modules(pl_module.network)
        for name, tensor in pl_module.network.state_dict().items():
            holder, _, own = name.rpartition(".")
            # What was not finite before the step is meant so, such as an attention mask.
            changed = tensor[tensor != self._before[name].to(tensor.device)]
            self._check([changed], f"the {own} of {_shown(holder, modules[holder])}")

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Keep the weights behind the last step: only the evaluation can lose a number now."""
        self._step = None
        self._keep()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """End behind the lost epoch."""
        if trainer.current_epoch >= self._until_epoch:
            raise _Ended(None)

    def _keep(self) -> None:
        state = self._module.network.state_dict()
        self._before = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}

    def _check(self, values: Iterable[Any], place: str) -> None:
        if all(bool(tensor.isfinite().all()) for tensor in _tensors(values)):
            return
        raise _Ended(Loss(place, self._module.current_epoch, self._step, self._before))


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """Yield the tensors of nested lists and tuples, such as the outputs of a recurrent layer."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _modules(network: nn.Module) -> dict[str, nn.Module]:
    """Return all modules by name; one that has several names has each."""
    return dict(network.named_modules(remove_duplicate=False))


def _shown(name: str, module: nn.Module) -> str:
    return f"{name or 'the network'} ({type(module).__name__})"
