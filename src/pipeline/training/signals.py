"""The callback that measures a network after each epoch, on examples that stay the same.

    Trainer(callbacks=[pipeline.training.signals.Signals()])

It works with any LightningModule that maps images to logits. Measuring changes nothing: the trained
weights are the same, bit for bit, without it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
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
from pipeline.training.measurement import Instrument, Moment, Penalties, undisturbed
from pipeline.training.probes import EMPTY, Probe, probe_from, probe_of
from pipeline.training.recorder import Observer

Examples = tuple[Tensor, Tensor]
# Of longer epochs only every second, third, … step's gradient norm is taken: a norm costs 2 % of a small step.
MANY_STEPS = 500


class Signals(lightning.Callback):
    """Measures before the first step and after every epoch; on the main process only.

    probe_size: examples of the training part, and of the validation part.  seed: of their choice.
    root: name of the submodule whose layers are measured; "" is the whole module.
    l1, l2: weights of the penalties that the training step adds, see `pipeline.penalties`.
    train_probe, val_probe: images ``[N, …]`` and int64 labels ``[N]`` to use instead of a choice.
    observers: called after each moment with its numbers, under ``signals/``.
    write: write ``<default_root_dir>/signals/signals.safetensors`` at the end, also of a failed run.

    Raises `TrainingError` where the loader's examples cannot be read by index, batches are not
    (images, labels), or the model is sharded over devices.
    """

    def __init__(
        self,
        *,
        probe_size: int = 2000,
        seed: int = 0,
        root: str = "",
        l1: float = 0.0,
        l2: float = 0.0,
        train_probe: Examples | None = None,
        val_probe: Examples | None = None,
        observers: Sequence[Observer] = (),
        write: bool = True,
    ) -> None:
        self.probe_size = probe_size
        self.seed = seed
        self.root = root
        self.l1, self.l2 = l1, l2
        self.given = (train_probe, val_probe)
        self.observers = observers
        self.write = write
        self._forget()

    def _forget(self) -> None:
        self._moments: list[Moment] = []
        self._constants: Moment = {}
        self._metadata: dict[str, str] = {}
        self._instrument: Instrument | None = None
        self._norms: list[Tensor] = []
        self._step_at_start, self._every = 0, 1
        self._at_start: list[Tensor] = []
        self._at_last_step: list[Tensor] = []

    # --- when ------------------------------------------------------------------------------------

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Start with nothing; a checkpoint is loaded after this."""
        if stage == "fit":
            self._forget()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Choose the examples, and measure the network as it is before its first step."""
        if not trainer.is_global_zero:
            return
        if not isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy):
            raise TrainingError(
                f"Signals measures a model that is whole on one device, and {type(trainer.strategy).__name__} "
                "shares it out. Train without Signals (signals=none), or with strategy=ddp."
            )
        with undisturbed(pl_module, pl_module.device):
            self._instrument = self._make(trainer, pl_module)
        self._constants |= self._instrument.constants()
        self._metadata = self._describe(self._instrument)
        if not self._moments:
            self._add_moment(trainer, pl_module, epoch=trainer.current_epoch - 1)

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Keep the weights that the epoch begins with."""
        if self._instrument:
            self._norms, self._at_last_step = [], []
            num_steps = trainer.num_training_batches
            self._every = max(1, int(num_steps) // MANY_STEPS) if math.isfinite(num_steps) else 1
            self._step_at_start = trainer.global_step
            self._at_start = _copies(self._instrument)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Keep the weights before the epoch's last step."""
        if self._instrument and batch_idx + 1 == trainer.num_training_batches:
            self._at_last_step = _copies(self._instrument)

    def on_before_optimizer_step(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Keep the norm of the whole gradient, before it is clipped: a tensor that nobody waits for."""
        if not self._instrument or (trainer.global_step - self._step_at_start) % self._every:
            return
        groups = optimizer.param_groups
        gradients = [p.grad for group in groups for p in group["params"] if p.grad is not None]
        self._norms.append(torch.nn.utils.get_total_norm(gradients))

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Measure the network at the end of an epoch."""
        if self._instrument:
            self._add_moment(trainer, pl_module, epoch=trainer.current_epoch)

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the file."""
        self._write(trainer)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Write what was measured until then."""
        self._write(trainer)

    def _write(self, trainer: lightning.Trainer) -> None:
        if self.write and trainer.is_global_zero and self._moments:
            write_signals(Path(trainer.default_root_dir) / "signals" / FILE_NAME, self.record())

    # --- what ------------------------------------------------------------------------------------

    def _make(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> Instrument:
        loaders = (_only(trainer.train_dataloader), _only(trainer.val_dataloaders))
        train, val = (self._probe(loader, given) for loader, given in zip(loaders, self.given, strict=True))
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

    def _probe(self, loader: Any, given: Examples | None) -> Probe:
        if given is not None:
            return probe_from(*given)
        return EMPTY if loader is None else probe_of(loader, size=self.probe_size, seed=self.seed)

    def _describe(self, instrument: Instrument) -> dict[str, str]:
        anatomy = instrument.anatomy
        return {
            "layers": json.dumps([layer.name for layer in anatomy.layers]),
            "activations": json.dumps(
                [{"name": a.name, "kind": a.kind, "layer": a.layer} for a in anatomy.activations]
            ),
            "num_classes": json.dumps(instrument.num_classes),
            "probe_size": json.dumps(self.probe_size),
            "version": json.dumps(1),
        }

    def _add_moment(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, *, epoch: int
    ) -> None:
        assert self._instrument is not None
        penalties = Penalties(self.l1, self.l2, _coupled_decay(trainer.optimizers))
        with undisturbed(module, module.device):
            moment = self._instrument.measure(penalties)
        self._constants["units/num_units"] = moment.pop("units/num_units")
        num_steps = trainer.global_step - self._step_at_start
        moment |= self._updates(moment["layers/weight_norm"], num_steps=num_steps)
        moment |= _during_training(self._norms, clip=trainer.gradient_clip_val or math.inf)
        moment["epochs"] = torch.tensor(epoch)
        moment["steps"] = torch.tensor(trainer.global_step)
        moment["learning_rate"] = torch.tensor(float(trainer.optimizers[0].param_groups[0]["lr"]))
        self._moments.append(moment)
        row = EpochRecord(epoch, trainer.global_step, metrics_of(moment, self._metadata))
        for observer in self.observers:
            observer(row)

    def _updates(self, weight_norms: Tensor, *, num_steps: int) -> Moment:
        """Size of the updates against the size of the weights, a layer each: a mean step, and the last one."""
        assert self._instrument is not None
        return {
            "layers/update_ratio": _change(self._instrument, self._at_start, weight_norms)
            / (num_steps or math.nan),
            "layers/last_update_ratio": _change(self._instrument, self._at_last_step, weight_norms),
        }

    def record(self) -> SignalRecord:
        """Return all that was measured; without a moment yet, only ``epochs`` with none in it."""
        if not self._moments:
            return NOTHING
        stacked = {key: torch.stack([m[key] for m in self._moments]) for key in self._moments[0]}
        arrays = {
            key: np.ascontiguousarray(value.numpy()) for key, value in (stacked | self._constants).items()
        }
        return SignalRecord(arrays=arrays, metadata=dict(self._metadata))

    # --- across a kill ---------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and strings only, so that a checkpoint loads without unpickling code."""
        return {"moments": self._moments, "constants": self._constants, "metadata": self._metadata}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the state of `state_dict`."""
        self._moments = list(state_dict["moments"])
        self._constants = dict(state_dict["constants"])
        self._metadata = dict(state_dict["metadata"])


NOTHING = SignalRecord(arrays={"epochs": np.zeros(0, dtype=np.int64)}, metadata={"version": "1"})
"""The record of a run without signals."""


def metrics_of(moment: Moment, metadata: Mapping[str, str]) -> dict[str, float]:
    """Return one moment's numbers by name, ``signals/<what>/<layer>``; what was not measured is left out."""
    layers = json.loads(metadata["layers"])
    activations = [a["name"] for a in json.loads(metadata["activations"])]
    found = {
        f"signals/{key.partition('/')[2]}/{name}": value
        for group, names in (("layers/", layers), ("units/", activations))
        for key in moment
        if key.startswith(group)
        for name, value in zip(names, moment[key].tolist(), strict=True)
    }
    for key in ("mean", "max", "clipped_share"):
        found[f"signals/training_gradient_norm/{key}"] = float(moment[f"gradient_norm/{key}"])
    found["signals/penalty_gradient_share"] = float(moment["penalty_gradient_share"])
    if "time_step/gradient_norm" in moment:
        norms = moment["time_step/gradient_norm"]
        found["signals/first_to_last_time_step_gradient"] = float(norms[0] / norms[-1])
    if int(moment["epochs"]) == -1:
        guess = math.log(json.loads(metadata["num_classes"]))
        found["signals/initial_loss_to_ln_classes"] = float(moment["train/loss_per_example"].mean()) / guess
    return {key: value for key, value in found.items() if not math.isnan(value)}


def _during_training(norms: Sequence[Tensor], *, clip: float) -> Moment:
    """Mean and largest of the steps' gradient norms, and the share that was clipped; NaN without steps."""
    if not norms:
        return {f"gradient_norm/{key}": torch.tensor(math.nan) for key in ("mean", "max", "clipped_share")}
    every = torch.stack(list(norms)).float().cpu()
    clipped = (every > clip).float().mean() if math.isfinite(clip) else torch.tensor(math.nan)
    return {
        "gradient_norm/mean": every.mean(),
        "gradient_norm/max": every.max(),
        "gradient_norm/clipped_share": clipped,
    }


def _copies(instrument: Instrument) -> list[Tensor]:
    return [w.detach().clone() for layer in instrument.anatomy.layers for w in layer.weights]


def _change(instrument: Instrument, before: Sequence[Tensor], weight_norms: Tensor) -> Tensor:
    """‖W - W before‖ / ‖W‖ a layer; NaN without a before, and for weights that are all zero."""
    if not before:
        return torch.full_like(weight_norms, math.nan)
    remaining = iter(before)
    differences = [
        torch.nn.utils.get_total_norm([w.detach() - next(remaining) for w in layer.weights])
        for layer in instrument.anatomy.layers
    ]
    moved = torch.stack(differences).float().cpu()
    return torch.where(weight_norms > 0, moved / weight_norms, torch.nan)


def _coupled_decay(optimizers: Sequence[torch.optim.Optimizer]) -> Any:
    """The weight decay that an optimizer adds to a weight's gradient; AdamW's is no part of the gradient."""
    decays = {
        id(p): 0.0 if group.get("decoupled_weight_decay") else float(group.get("weight_decay", 0.0))
        for optimizer in optimizers
        for group in optimizer.param_groups
        for p in group["params"]
    }
    return lambda weight: decays.get(id(weight), 0.0)


def _only(loaders: Any) -> Any:
    """The first of several loaders; None where there is none."""
    if isinstance(loaders, list | tuple):
        return loaders[0] if loaders else None
    return loaders
