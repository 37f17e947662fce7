"""The callback that measures a network after each epoch, always on the same examples.

    Trainer(callbacks=[pipeline.training.signals.Signals()])

It works with any LightningModule that maps images to logits. Measuring changes nothing: without
it the trained weights are the same, bit for bit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor

from pipeline.errors import TrainingError
from pipeline.evaluation.signal_file import FILE_NAME, write_signals
from pipeline.records import EpochRecord, SignalRecord
from pipeline.training.live import LiveVerdict, epochs_of
from pipeline.training.measurement import Instrument, Penalties, undisturbed
from pipeline.training.moments import Moment, stacked, unstacked
from pipeline.training.recorder import Observer
from pipeline.training.samples import EMPTY, Sample, draw_sample, given_sample
from pipeline.training.signal_metrics import coupled_decay, metrics_of, step_norms
from pipeline.training.steady import steady_threads
from pipeline.training.step_signals import EpochSteps, no_updates

Examples = tuple[Tensor, Tensor]


class Signals(lightning.Callback):
    """Measures before the first step and after every epoch; on the main process only.

    sample_size: number of examples from the training part, and from the validation part.
    seed: decides which examples.
    root: name of the submodule whose layers are measured; "" is the whole module.
    l1, l2: weights of the penalties that the training step adds, see `pipeline.penalties`.
    train_sample, val_sample: images ``[N, …]`` and int64 labels ``[N]`` to use instead.
    observers: called after each moment with its numbers, under ``signals/``.
    write: whether to write ``<default_root_dir>/signals/signals.safetensors`` at the end, also
        when the run fails.
    live: whether to judge the losses of the sample after each epoch, and to print one line once a
        fault is likely. docs/automation.md says how few healthy runs get one.

    Raises `TrainingError` where the loader's examples cannot be read by index, batches are not
    (images, labels), or the model is sharded over devices.
    """

    in_plain_loops = True

    def __init__(
        self,
        *,
        sample_size: int = 2000,
        seed: int = 0,
        root: str = "",
        l1: float = 0.0,
        l2: float = 0.0,
        train_sample: Examples | None = None,
        val_sample: Examples | None = None,
        observers: Sequence[Observer] = (),
        write: bool = True,
        live: bool = False,
    ) -> None:
        self.sample_size = sample_size
        self.seed = seed
        self.root = root
        self.l1, self.l2 = l1, l2
        self.given = (train_sample, val_sample)
        self.observers = observers
        self.write = write
        self.live = live
        self._reset()

    def _reset(self) -> None:
        self._moments: list[Moment] = []
        self._constants: Moment = {}
        self._metadata: dict[str, str] = {}
        self._instrument: Instrument | None = None
        self._steps: EpochSteps | None = None
        self._epochs: list[EpochRecord] = []
        self._live: LiveVerdict | None = None

    # --- when to measure ---

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Drop the moments of an earlier fit; Lightning loads a checkpoint after this."""
        if stage == "fit":
            self._reset()

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Choose the examples, and measure the network before its first step."""
        if not trainer.is_global_zero:
            return
        if not isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy):
            raise TrainingError(
                "Signals measures a model that is whole on one device, but "
                f"{type(trainer.strategy).__name__} splits it over devices. "
                "Train without Signals (signals=none), or with strategy=ddp."
            )
        with undisturbed(pl_module, pl_module.device):
            self._instrument = self._make(trainer, pl_module)
        self._constants |= self._instrument.constants()
        self._metadata = self._describe(self._instrument)
        for moment in self._moments:  # of a run that goes on; a record keeps each number once
            self._tell(moment)
        if not self._moments:
            self._add_moment(trainer, pl_module, epoch=trainer.current_epoch - 1)

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Keep the weights at the start of the epoch."""
        if self._instrument:
            self._steps = EpochSteps(
                self._instrument.anatomy.layers,
                first=trainer.global_step,
                num_batches=trainer.num_training_batches,
            )

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Keep the weights before the epoch's last step."""
        if self._steps and batch_idx + 1 == trainer.num_training_batches:
            self._steps.before_last()

    def on_before_optimizer_step(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Keep the norm of the whole gradient before clipping, without waiting for its value."""
        if self._steps:
            self._steps.before_step(optimizer, step=trainer.global_step)

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Measure the network at the end of an epoch."""
        if self._instrument:
            self._add_moment(trainer, pl_module, epoch=trainer.current_epoch)
            if self.live:
                self._judge(pl_module, self._instrument)

    def _judge(self, pl_module: lightning.LightningModule, instrument: Instrument) -> None:
        if self._live is None:
            self._epochs = epochs_of(self._moments[:-1])
            self._live = LiveVerdict(
                pl_module.print,
                num_classes=instrument.num_classes,
                resumed_from=self._epochs[-1].epoch + 1 if self._epochs else 0,
            )
        self._epochs += epochs_of(self._moments[-1:])
        self._live.see(self._epochs)

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the file."""
        self._write(trainer)

    def on_exception(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        """Write the moments that were measured before the error."""
        self._write(trainer)

    def _write(self, trainer: lightning.Trainer) -> None:
        if self.write and trainer.is_global_zero and self._moments:
            write_signals(Path(trainer.default_root_dir) / "signals" / FILE_NAME, self.record())

    # --- how to measure ---

    def _make(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> Instrument:
        loaders = (_only(trainer.train_dataloader), _only(trainer.val_dataloaders))
        train, val = (
            self._sample(loader, given) for loader, given in zip(loaders, self.given, strict=True)
        )
        # Half precision without loss scaling would lose small gradients.
        half = trainer.precision == "16-mixed"
        plugin = trainer.precision_plugin
        return Instrument(
            lambda images: module(plugin.convert_input(images)),
            module.get_submodule(self.root),
            train=train,
            val=val,
            precision=nullcontext if half else plugin.forward_context,
            device=module.device,
        )

    def _sample(self, loader: Any, given: Examples | None) -> Sample:
        if given is not None:
            return given_sample(*given)
        if loader is None:
            return EMPTY
        return draw_sample(loader, size=self.sample_size, seed=self.seed)

    def _describe(self, instrument: Instrument) -> dict[str, str]:
        anatomy = instrument.anatomy
        return {
            "layers": json.dumps([layer.name for layer in anatomy.layers]),
            "activations": json.dumps(
                [{"name": a.name, "kind": a.kind, "layer": a.layer} for a in anatomy.activations]
            ),
            "num_classes": json.dumps(instrument.num_classes),
            "version": json.dumps(1),
        }

    def _add_moment(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, *, epoch: int
    ) -> None:
        assert self._instrument is not None
        penalties = Penalties(self.l1, self.l2, coupled_decay(trainer.optimizers))
        with steady_threads(), undisturbed(module, module.device):
            moment = self._instrument.measure(penalties)
            self._constants["units/num_units"] = moment.pop("units/num_units")
            norms, steps = moment["layers/weight_norm"], self._steps
            moment |= steps.updates(norms, step=trainer.global_step) if steps else no_updates(norms)
        gradients = steps.gradient_norms if steps else []
        moment |= step_norms(gradients, clip=trainer.gradient_clip_val or math.inf)
        moment["epochs"] = torch.tensor(epoch)
        moment["steps"] = torch.tensor(trainer.global_step)
        moment["learning_rate"] = torch.tensor(float(trainer.optimizers[0].param_groups[0]["lr"]))
        self._moments.append(moment)
        self._tell(moment)

    def _tell(self, moment: Moment) -> None:
        numbers = metrics_of(moment, self._metadata)
        row = EpochRecord(int(moment["epochs"]), int(moment["steps"]), numbers)
        for observer in self.observers:
            observer(row)

    def record(self) -> SignalRecord:
        """Return all moments; without one yet, a record with an empty ``epochs`` alone."""
        if not self._moments:
            return NOTHING
        arrays = {
            key: np.ascontiguousarray(value.numpy())
            for key, value in (stacked(self._moments) | self._constants).items()
        }
        return SignalRecord(arrays=arrays, metadata=dict(self._metadata))

    # --- resuming ---

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and strings only, so that a checkpoint loads without unpickling code.

        One tensor a name holds all moments: thousands of small ones take long to write.
        """
        return {
            "moments": stacked(self._moments),
            "constants": self._constants,
            "metadata": self._metadata,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from the state of `state_dict`."""
        moments = state_dict["moments"]
        # A list: of a checkpoint that an earlier version wrote.
        self._moments = moments if isinstance(moments, list) else unstacked(moments)
        self._constants = dict(state_dict["constants"])
        self._metadata = dict(state_dict["metadata"])


NOTHING = SignalRecord(arrays={"epochs": np.zeros(0, dtype=np.int64)}, metadata={"version": "1"})
"""The record of a run without signals."""


def _only(loaders: Any) -> Any:
    """Return the first of several loaders; None where there is none."""
    if isinstance(loaders, list | tuple):
        return loaders[0] if loaders else None
    return loaders
