"""Train many copies of a network at once, each with its own settings, seed and images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
import torch.nn.functional as F
from datasets import load
from kinds import initial, outputs
from networks import Copies, Parameters, Shape
from parts import Data
from torch import Tensor

NUM_TRAIN_SEEN = 120  # training examples measured in evaluation mode after each epoch
CHUNK = 50  # examples of each copy that are measured together
MAX_STEP_LOSSES = 120  # single steps' losses kept of a run
# Optimizer → decay of the gradient's mean, decay of its square's mean (0: not adaptive).
OPTIMIZERS = {
    "sgd": (0.0, 0.0),
    "momentum": (0.9, 0.0),
    "adam": (0.9, 0.999),
    "adamw": (0.9, 0.999),
    "rmsprop": (0.0, 0.99),
}


@dataclass(frozen=True)
class Settings:
    """One training.

    l2: of the loss, or decoupled with adamw.  label_noise: share of shuffled labels.
    gain, bias: of the initial weights.  clip: largest norm of a gradient, 0 for none.
    num_val: validation examples behind each number.
    """

    data: str
    net: str
    width: int
    depth: int = 2
    activation: str = "relu"
    optimizer: str = "adam"
    rate: float = 1e-3
    schedule: str = "constant"
    epochs: int = 20
    batch: int = 32
    num_train: int = 1000
    dropout: float = 0.0
    l2: float = 0.0
    label_noise: float = 0.0
    gain: float = 1.0
    bias: float = 0.0
    clip: float = 0.0
    num_val: int = 300
    seed: int = 0

    @property
    def together(self) -> tuple[object, ...]:
        """Settings that agree here can be trained in one stack."""
        alike = (self.data, self.net, self.width, self.depth, self.activation)
        return (*alike, self.epochs, self.batch, self.num_train)


CURVES = ("train_loss", "objective", "train_accuracy", "eval_loss", "eval_accuracy",
          "val_loss", "val_accuracy", "test_loss")  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """One training's record.

    curves: ``[E]`` float32 by name of `CURVES`; the first three are means over the epoch's steps,
    with dropout on (objective: with the penalty), the others of the weights after the epoch.
    Accuracies are NaN in a regression.  step_losses: ``[≤ 120]`` of single steps, equally spaced.
    """

    settings: Settings
    curves: dict[str, np.ndarray]
    step_losses: np.ndarray


def rate_factor(schedule: str, progress: float) -> float:
    """Factor on the learning rate after this share of the training."""
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    if schedule == "steps":  # sharp drops
        return 1.0 if progress < 0.5 else 0.1 if progress < 0.8 else 0.01
    if schedule == "onecycle":
        return (
            progress / 0.3
            if progress < 0.3
            else 0.5 * (1 + math.cos(math.pi * (progress - 0.3) / 0.7))
        )
    if schedule == "warmup":
        return min(1.0, progress / 0.1 + 0.02)
    return 1.0


def train(runs: Sequence[Settings]) -> list[Trained]:
    """Train runs that agree in `Settings.together`."""
    return Stack(runs).train()


class Stack:
    """Copies under training. S copies, N training examples, B a batch."""

    def __init__(self, runs: Sequence[Settings]) -> None:
        assert len({run.together for run in runs}) == 1
        self.runs, first = list(runs), runs[0]
        self.data: Data = load(first.data)
        self.shape = shape_of(first, self.data)
        self.generator = torch.Generator().manual_seed(first.seed)
        self.x, self.y = self._training_parts()
        self.first_val = torch.arange(len(self.data.y["val"])).unsqueeze(0) < self._each(
            "num_val", 1
        )
        parameters = initial(
            self.shape,
            seeds=[run.seed for run in runs],
            gains=[run.gain for run in runs],
            biases=[run.bias for run in runs],
        )
        self.parameters: Parameters = {k: v.requires_grad_() for k, v in parameters.items()}
        self.dropout = self._each("dropout", 0)
        self.means = {k: torch.zeros_like(v) for k, v in parameters.items()}
        self.squares = {k: torch.zeros_like(v) for k, v in parameters.items()}
        self.step = 0

    def _each(self, name: str, ones: int) -> Tensor:
        values = torch.tensor([float(getattr(run, name)) for run in self.runs])
        return values.view(-1, *[1] * ones)

    def _training_parts(self) -> tuple[Tensor, Tensor]:
        """``[S, N, …]`` and ``[S, N]``: each seed has its own examples and its own wrong labels."""
        xs, ys = [], []
        for run in self.runs:
            dice = torch.Generator().manual_seed(1000 + run.seed)
            chosen = torch.randperm(len(self.data.y["train"]), generator=dice)[: run.num_train]
            labels = self.data.y["train"][chosen].clone()
            wrong = torch.rand(len(labels), generator=dice) < run.label_noise
            labels[wrong] = labels[wrong][torch.randperm(int(wrong.sum()), generator=dice)]
            xs.append(self.data.x["train"][chosen])
            ys.append(labels)
        return torch.stack(xs), torch.stack(ys)

    def train(self) -> list[Trained]:
        epochs, num = self.runs[0].epochs, self.x.shape[1]
        steps = math.ceil(num / self.runs[0].batch)
        every = max(1, math.ceil(epochs * steps / MAX_STEP_LOSSES))
        rows: list[dict[str, np.ndarray]] = []
        step_losses = []
        for _ in range(epochs):
            order = torch.rand(len(self.runs), num, generator=self.generator).argsort(1)
            seen = [self._one_step(b, epochs * steps) for b in order.split(self.runs[0].batch, 1)]
            step_losses += [s["train_loss"].numpy() for s in seen]
            means = {k: torch.stack([s[k] for s in seen]).mean(0).numpy() for k in seen[0]}
            rows.append(means | self._measured())
        singles = np.stack(step_losses[::every])
        return [
            Trained(
                run,
                {k: np.array([row[k][i] for row in rows], np.float32) for k in CURVES},
                singles[:, i].astype(np.float32),
            )
            for i, run in enumerate(self.runs)
        ]

    # --- one step ---------------------------------------------------------------------------------

    def _one_step(self, batch: Tensor, total: int) -> dict[str, Tensor]:
        copies = torch.arange(len(self.runs)).unsqueeze(1)
        x, y = self.x[copies, batch], self.y[copies, batch]
        out = outputs(Copies(self.parameters, self.dropout, True, self.generator), self.shape, x)
        losses = _losses(out, y).mean(1)
        objective = losses + self._penalty()
        gradients = torch.autograd.grad(objective.sum(), list(self.parameters.values()))
        self._update(dict(zip(self.parameters, gradients, strict=True)), total)
        accuracy = _correct(out, y).mean(1)
        return {
            "train_loss": losses.detach(),
            "objective": objective.detach(),
            "train_accuracy": accuracy.detach(),
        }

    def _penalty(self) -> Tensor:
        strengths = torch.tensor([0.0 if r.optimizer == "adamw" else r.l2 for r in self.runs])
        if not bool((strengths > 0).any()):
            return strengths
        squares = sum(
            w.square().flatten(1).sum(1) for k, w in self.parameters.items() if k[-1] == "w"
        )
        return strengths * squares

    @torch.no_grad()
    def _update(self, gradients: Parameters, total: int) -> None:
        """One step of every copy's own optimizer; Kingma and Ba, Adam, 2015, for the adaptive."""
        factors = torch.tensor([rate_factor(r.schedule, self.step / total) for r in self.runs])
        rates = self._each("rate", 0) * factors
        self.step += 1
        first = torch.tensor([OPTIMIZERS[r.optimizer][0] for r in self.runs])
        second = torch.tensor([OPTIMIZERS[r.optimizer][1] for r in self.runs])
        decay = torch.tensor([r.l2 if r.optimizer == "adamw" else 0.0 for r in self.runs])
        adaptive = second > 0
        scale = self._clipping(gradients)
        for name, weight in self.parameters.items():
            view = (-1, *[1] * (weight.ndim - 1))
            b1, b2, is_adaptive = first.view(view), second.view(view), adaptive.view(view)
            gradient = gradients[name] * scale.view(view)
            mean, square = self.means[name], self.squares[name]
            mean.mul_(b1).add_(gradient * torch.where(is_adaptive, 1 - b1, 1.0))
            square.mul_(b2).add_(gradient.square() * (1 - b2))
            root = (square / (1 - b2**self.step)).sqrt() + 1e-8
            change = torch.where(is_adaptive, mean / (1 - b1**self.step) / root, mean)
            change += weight * decay.view(view)
            weight -= rates.view(view) * change

    def _clipping(self, gradients: Parameters) -> Tensor:
        limits = self._each("clip", 0)
        if not bool((limits > 0).any()):
            return torch.ones(len(self.runs))
        norm = sum(g.square().flatten(1).sum(1) for g in gradients.values()).sqrt()  # type: ignore[union-attr]
        return torch.where(limits > 0, (limits / (norm + 1e-12)).clamp(max=1.0), 1.0)

    # --- after an epoch ---------------------------------------------------------------------------

    @torch.no_grad()
    def _measured(self) -> dict[str, np.ndarray]:
        copies, s = Copies(self.parameters, self.dropout, False), len(self.runs)
        seen = self.x[:, :NUM_TRAIN_SEEN], self.y[:, :NUM_TRAIN_SEEN]
        found: dict[str, Tensor] = {}
        out = self._outputs(copies, seen[0])
        found["eval_loss"] = _losses(out, seen[1]).mean(1)
        found["eval_accuracy"] = _correct(out, seen[1]).mean(1)
        for part in ("val", "test"):
            x, y = self.data.x[part], self.data.y[part]
            out = self._outputs(copies, x.unsqueeze(0).expand(s, *x.shape))
            losses, correct = _losses(out, y.expand(s, -1)), _correct(out, y.expand(s, -1))
            if part == "val":
                n = self.first_val.sum(1)
                losses = torch.where(self.first_val, losses, 0.0).sum(1) / n
                found["val_loss"] = losses
                found["val_accuracy"] = (correct * self.first_val).sum(1) / n
            else:
                found["test_loss"] = losses.mean(1)
        return {name: value.numpy() for name, value in found.items()}

    def _outputs(self, copies: Copies, x: Tensor) -> Tensor:
        """In parts that fit the cache."""
        return torch.cat([outputs(copies, self.shape, part) for part in x.split(CHUNK, 1)], 1)


def shape_of(run: Settings, data: Data) -> Shape:
    """Return the shape of a run's network."""
    x = data.x["train"]
    return Shape(
        net=run.net,
        inputs=tuple(x.shape[1:]),
        outputs=data.num_classes or 1,
        width=run.width,
        depth=run.depth,
        activation=run.activation,
        vocabulary=int(x.max()) + 1 if data.kind == "text" else 0,
    )


def _losses(out: Tensor, y: Tensor) -> Tensor:
    """``[S, B]``: cross-entropy in nats, or squared error where y is a number."""
    if y.is_floating_point():
        return (out.squeeze(-1) - y).square()
    return F.cross_entropy(out.flatten(0, 1), y.flatten(), reduction="none").view(y.shape)


def _correct(out: Tensor, y: Tensor) -> Tensor:
    if y.is_floating_point():
        return torch.full(y.shape, float("nan"))
    return (out.argmax(-1) == y).float()


def with_seed(run: Settings, seed: int) -> Settings:
    """Return the same settings with another seed."""
    return replace(run, seed=seed)


FIELDS = tuple(field.name for field in fields(Settings))
