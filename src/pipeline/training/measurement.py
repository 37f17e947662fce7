"""One measurement of a network: losses, gradients, units. It leaves the network as it was."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.structure import eager
from pipeline.training.anatomy import Anatomy, discover
from pipeline.training.moments import Moment
from pipeline.training.samples import Sample
from pipeline.training.time_steps import NUM_EXAMPLES, can_unroll, time_step_norms
from pipeline.training.units import UnitStatistics

# Batches of the training sample on which gradients are measured: 400 examples.
GRADIENT_CHUNKS = 2


@dataclass(frozen=True)
class Penalties:
    """Added to the loss's gradient of a weight w: ``l1 · sign(w) + (2 · l2 + decay(w)) · w``."""

    l1: float
    l2: float
    decay: Callable[[nn.Parameter], float]


class Instrument:
    """Measures one network again and again on the same examples.

    forward: images → logits ``[B, K]``.  root: the module whose layers are named and measured.
    train, val: the examples; layers are measured on ``train``.  precision: the context of a forward
    pass.  device: where the network is.
    """

    def __init__(
        self,
        forward: Callable[[Tensor], Tensor],
        root: nn.Module,
        *,
        train: Sample,
        val: Sample,
        precision: Callable[[], AbstractContextManager[Any]],
        device: torch.device,
    ) -> None:
        self.root = root
        self.train = train
        self.val = val
        self.device = device
        self._forward = forward
        self._precision = precision
        images, _ = next(iter(train))
        with undisturbed(root, device), torch.no_grad():
            self.anatomy: Anatomy = discover(root, lambda: self._logits(images[:2]))
            self.num_classes = self._logits(images[:2]).shape[1]

    def _logits(self, images: Tensor) -> Tensor:
        with self._precision(), eager(self.root):
            logits = self._forward(images.to(self.device))
        return logits.float()

    def measure(self, penalties: Penalties) -> Moment:
        """Return one moment's numbers by the file's names, float32 and bool tensors on the CPU."""
        statistics = [UnitStatistics(a.kind, unit_dim=a.unit_dim) for a in self.anatomy.activations]
        losses, correct = [], []
        differentiated: list[Tensor] = []
        for number, (images, labels) in enumerate(self.train):
            with self._observed(statistics), torch.set_grad_enabled(number < GRADIENT_CHUNKS):
                logits = self._logits(images)
                loss = functional.cross_entropy(logits, labels.to(self.device), reduction="none")
            differentiated += [loss] if loss.requires_grad else []
            losses.append(loss.detach())
            correct.append(logits.argmax(1) == labels.to(self.device))
        gradients = self._gradients(differentiated)
        moment = {
            "train/loss_per_example": torch.cat(losses),
            "train/correct": torch.cat(correct),
            **self._validation(),
            **self._layers(gradients, penalties),
            **_units(statistics),
            **self._time_steps(),
        }
        return {key: value.cpu() for key, value in moment.items()}

    @contextmanager
    def _observed(self, statistics: Sequence[UnitStatistics]) -> Iterator[None]:
        """Send the outputs of each activation call to its own statistics."""
        by_module: dict[nn.Module, list[UnitStatistics]] = {}
        for activation, statistic in zip(self.anatomy.activations, statistics, strict=True):
            by_module.setdefault(activation.module, []).append(statistic)
        hooks = [m.register_forward_hook(_adding_to(iter(own))) for m, own in by_module.items()]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _validation(self) -> Moment:
        losses, correct = [torch.zeros(0)], [torch.zeros(0, dtype=torch.bool)]
        with torch.no_grad():
            for images, labels in self.val:
                logits = self._logits(images)
                truth = labels.to(self.device)
                losses.append(functional.cross_entropy(logits, truth, reduction="none").cpu())
                correct.append((logits.argmax(1) == truth).cpu())
        return {"val/loss_per_example": torch.cat(losses), "val/correct": torch.cat(correct)}

    def _gradients(self, losses: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        """Return the mean loss's gradient by each weight, by layer; None where frozen."""
        weights = [w for layer in self.anatomy.layers for w in layer.weights]
        trained = [w for w in weights if w.requires_grad]
        # autograd.grad adds nothing to the weights' own .grad
        by_weight: dict[int, Tensor | None] = {}
        if trained:
            loss = torch.cat(list(losses)).mean()
            gradients = torch.autograd.grad(loss, trained, allow_unused=True)
            by_weight = {id(w): g for w, g in zip(trained, gradients, strict=True)}
        return tuple(by_weight.get(id(w)) for w in weights)

    def _layers(self, gradients: Sequence[Tensor | None], penalties: Penalties) -> Moment:
        remaining = iter(gradients)
        of_loss, of_weight, loss_square, penalty_square = [], [], 0.0, 0.0
        for layer in self.anatomy.layers:
            gradient = [g.float() for w in layer.weights if (g := next(remaining)) is not None]
            norm = float(_norm(gradient)) if gradient else math.nan
            of_loss.append(norm)
            of_weight.append(float(_norm([w.detach() for w in layer.weights])))
            loss_square += norm**2 if gradient else 0.0
            penalty_square += sum(_penalty_square(w, penalties) for w in layer.weights)
        total = math.sqrt(loss_square) + math.sqrt(penalty_square)
        share = math.sqrt(penalty_square) / total if total else math.nan
        return {
            "layers/gradient_norm": torch.tensor(of_loss),
            "layers/weight_norm": torch.tensor(of_weight),
            "penalty_gradient_share": torch.tensor(share),
        }

    def _time_steps(self) -> Moment:
        layer = self.anatomy.recurrent
        if layer is None or not can_unroll(layer):
            return {}
        images, labels = (part[:NUM_EXAMPLES] for part in next(iter(self.train)))
        norms = time_step_norms(layer, lambda: self._logits(images), labels.to(self.device))
        return {"time_step/gradient_norm": norms}

    def constants(self) -> Moment:
        """Return the arrays that are the same at every moment."""
        counts = [sum(w.numel() for w in layer.weights) for layer in self.anatomy.layers]
        return {
            "train/labels": self.train.labels,
            "val/labels": self.val.labels,
            "layers/num_weights": torch.tensor(counts, dtype=torch.int64),
        }


def _adding_to(statistics: Iterator[UnitStatistics]) -> Callable[..., None]:
    def hook(_: nn.Module, __: Any, output: Any) -> None:
        # A recurrent layer returns its state too
        values = output[0] if isinstance(output, tuple) else output
        next(statistics).add(values.detach())

    return hook


def _units(statistics: Sequence[UnitStatistics]) -> Moment:
    summaries = [s.summary() for s in statistics]
    return {
        "units/num_units": torch.tensor([s.num_units for s in summaries], dtype=torch.int64),
        "units/dead": torch.tensor([s.dead for s in summaries]),
        "units/saturation": torch.tensor([s.saturation for s in summaries]),
        "units/saturated": torch.tensor([s.saturated for s in summaries]),
        "units/activation_mean": torch.tensor([s.mean for s in summaries]),
        "units/activation_std": torch.tensor([s.std for s in summaries]),
    }


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    return torch.nn.utils.get_total_norm(tensors)


def _penalty_square(weight: nn.Parameter, penalties: Penalties) -> float:
    """Return the squared norm of the penalties' gradient by one weight."""
    factor = 2 * penalties.l2 + penalties.decay(weight)
    if not weight.requires_grad or (penalties.l1 == 0 and factor == 0):
        return 0.0
    w = weight.detach().float()
    return float((penalties.l1 * w.sign() + factor * w).square().sum())


@contextmanager
def undisturbed(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Evaluation mode and gradients inside; restores modes and global generators afterwards."""
    modes = [(m, m.training) for m in module.modules()]
    own = torch.get_device_module(device) if device.type != "cpu" else None
    on_device = own.get_rng_state() if own else None
    on_cpu, of_python, of_numpy = torch.get_rng_state(), random.getstate(), np.random.get_state()
    # cuDNN refuses gradients of a recurrent layer in evaluation mode.
    native = device.type == "cuda" and any(isinstance(m, nn.RNNBase) for m in module.modules())
    cudnn = torch.backends.cudnn.flags(enabled=False) if native else nullcontext()
    module.eval()
    try:
        with torch.inference_mode(False), torch.enable_grad(), cudnn:
            yield
    finally:
        for m, training in modes:
            m.training = training
        torch.set_rng_state(on_cpu)
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        if own:
            own.set_rng_state(on_device)
