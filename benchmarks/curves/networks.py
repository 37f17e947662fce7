"""Networks of which many copies are trained at once: every weight has the copies as first axis.

``Parameters`` maps a name to a tensor ``[S, …]`` for S copies. A network is a function of its
parameters and a batch ``[S, B, …]``; the copies never touch each other, so that one that diverges
leaves the others alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

Parameters = dict[str, Tensor]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
}


@dataclass
class Copies:
    """What a forward pass needs beside the batch.

    dropout: ``[S]``, applied where ``training``.  generator: of the masks.
    """

    parameters: Parameters
    dropout: Tensor
    training: bool
    generator: torch.Generator | None = None

    def __getitem__(self, name: str) -> Tensor:
        return self.parameters[name]

    def drop(self, x: Tensor) -> Tensor:
        """Inverted dropout, each copy at its own rate."""
        if not self.training or not bool((self.dropout > 0).any()):
            return x
        rate = self.dropout.view(-1, *[1] * (x.ndim - 1))
        kept = torch.rand(x.shape, generator=self.generator) >= rate
        return x * kept / (1 - rate)


@dataclass(frozen=True)
class Shape:
    """What decides the shapes of a network's weights."""

    net: str
    inputs: tuple[int, ...]  # of one example, without the batch
    outputs: int
    width: int
    depth: int
    activation: str
    vocabulary: int = 0  # of text; 0 for numbers


@dataclass
class Weights:
    """Collects the weights of one copy, drawn from one generator."""

    generator: torch.Generator
    gain: float
    bias: float
    made: Parameters = field(default_factory=dict)

    def linear(self, name: str, inputs: int, outputs: int, *, gain: float | None = None) -> None:
        std = (self.gain if gain is None else gain) * math.sqrt(2 / max(inputs, 1))
        self.made[f"{name}.w"] = torch.randn(inputs, outputs, generator=self.generator) * std
        self.made[f"{name}.b"] = torch.full((outputs,), self.bias if gain is None else 0.0)

    def norm(self, name: str, width: int) -> None:
        self.made[f"{name}.scale"] = torch.ones(width)
        self.made[f"{name}.shift"] = torch.zeros(width)


def linear(copies: Copies, name: str, x: Tensor) -> Tensor:
    """``[S, …, in] → [S, …, out]``."""
    flat = x.reshape(x.shape[0], -1, x.shape[-1])
    out = torch.baddbmm(copies[f"{name}.b"].unsqueeze(1), flat, copies[f"{name}.w"])
    return out.view(*x.shape[:-1], -1)


def conv(copies: Copies, name: str, x: Tensor) -> Tensor:
    """3x3 convolution, same size: ``[S, B, C, H, W] → [S, B, O, H, W]``."""
    weight, bias = copies[f"{name}.w"], copies[f"{name}.b"]
    s, b, c, h, w = x.shape
    kernels = weight.transpose(1, 2).reshape(s, -1, c, 3, 3)
    if c == 1:
        mixed = x.transpose(0, 1).reshape(b, s * c, h, w)
        out = F.conv2d(mixed, kernels.flatten(0, 1), bias.flatten(), padding=1, groups=s)
        return out.view(b, s, -1, h, w).transpose(0, 1)
    return torch.stack([F.conv2d(x[i], kernels[i], bias[i], padding=1) for i in range(s)])


def pool(x: Tensor) -> Tensor:
    """2x2 maximum."""
    return F.max_pool2d(x.flatten(0, 1), 2).unflatten(0, x.shape[:2])


def normalized(copies: Copies, name: str, x: Tensor, *, channels: bool = False) -> Tensor:
    """Layer normalization of the last axis; of all but the first two where ``channels``."""
    axes = (2, 3, 4) if channels else (-1,)
    x = (x - x.mean(axes, keepdim=True)) / torch.sqrt(
        x.var(axes, keepdim=True, correction=0) + 1e-5
    )
    scale, shift = copies[f"{name}.scale"], copies[f"{name}.shift"]
    view = (len(scale), 1, -1, 1, 1) if channels else (len(scale), *[1] * (x.ndim - 2), -1)
    return x * scale.view(view) + shift.view(view)


# --- multilayer perceptron ------------------------------------------------------------------------


def mlp_weights(w: Weights, shape: Shape) -> None:
    """``depth`` hidden layers of ``width`` units; text is embedded in 8 numbers a character."""
    inputs = math.prod(shape.inputs)
    if shape.vocabulary:
        w.made["embed"] = torch.randn(shape.vocabulary, 8, generator=w.generator) * 0.5
        inputs *= 8
    for layer in range(shape.depth):
        w.linear(f"hidden{layer}", inputs if layer == 0 else shape.width, shape.width)
    w.linear("out", shape.width, shape.outputs, gain=0.5)


def mlp(copies: Copies, shape: Shape, x: Tensor) -> Tensor:
    x = embedded(copies, x).flatten(2) if shape.vocabulary else x.flatten(2)
    for layer in range(shape.depth):
        x = copies.drop(ACTIVATIONS[shape.activation](linear(copies, f"hidden{layer}", x)))
    return linear(copies, "out", x)


def embedded(copies: Copies, tokens: Tensor) -> Tensor:
    """``[S, B, T]`` int64 → ``[S, B, T, D]``."""
    table = copies["embed"]
    offsets = torch.arange(len(table)).view(-1, 1, 1) * table.shape[1]
    return F.embedding(tokens + offsets, table.flatten(0, 1))


# --- convolutions ---------------------------------------------------------------------------------


def cnn_weights(w: Weights, shape: Shape) -> None:
    """Two 3x3 convolutions (``width`` and twice as many channels), each pooled; a dense layer."""
    c, h, _ = shape.inputs
    w.linear("conv0", c * 9, shape.width)
    w.linear("conv1", shape.width * 9, 2 * shape.width)
    w.linear("dense", 2 * shape.width * (h // 4) ** 2, 6 * shape.width)
    w.linear("out", 6 * shape.width, shape.outputs, gain=0.5)


def cnn(copies: Copies, shape: Shape, x: Tensor) -> Tensor:
    act = ACTIVATIONS[shape.activation]
    x = pool(act(conv(copies, "conv0", x)))
    x = pool(act(conv(copies, "conv1", x))).flatten(2)
    return linear(copies, "out", copies.drop(act(linear(copies, "dense", x))))


def residual_weights(w: Weights, shape: Shape) -> None:
    """``depth`` residual blocks with normalization, of convolutions or (tables) of dense layers."""
    inputs = shape.inputs[0] * (9 if len(shape.inputs) == 3 else 1)
    w.linear("stem", inputs, shape.width)
    for block in range(shape.depth):
        for part in ("a", "b"):
            fan_in = shape.width * (9 if len(shape.inputs) == 3 else 1)
            w.norm(f"norm{block}{part}", shape.width)
            w.linear(f"block{block}{part}", fan_in, shape.width)
    w.norm("last", shape.width)
    w.linear("out", shape.width, shape.outputs, gain=0.5)


def residual(copies: Copies, shape: Shape, x: Tensor) -> Tensor:
    act, pictures = ACTIVATIONS[shape.activation], len(shape.inputs) == 3
    layer = conv if pictures else linear
    x = pool(layer(copies, "stem", x)) if pictures else layer(copies, "stem", x)
    for block in range(shape.depth):
        inner = x
        for part in ("a", "b"):
            inner = normalized(copies, f"norm{block}{part}", inner, channels=pictures)
            inner = layer(copies, f"block{block}{part}", act(inner))
        x = x + copies.drop(inner)
        if pictures and block == 0:
            x = pool(x)
    x = act(normalized(copies, "last", x, channels=pictures))
    return linear(copies, "out", x.mean((3, 4)) if pictures else x)


# --- sequences: rows of a picture, or characters --------------------------------------------------


def sequence(copies: Copies, shape: Shape, x: Tensor) -> Tensor:
    """``[S, B, T, D]``: the embedded characters, or the rows of a picture."""
    if shape.vocabulary:
        return embedded(copies, x)
    return x.transpose(2, 3).flatten(3)


def features_of(shape: Shape) -> int:
    return 8 if shape.vocabulary else shape.inputs[0] * shape.inputs[2]


def embedding_weights(w: Weights, shape: Shape) -> None:
    if shape.vocabulary:
        w.made["embed"] = torch.randn(shape.vocabulary, 8, generator=w.generator) * 0.5


GATES = {"rnn": 1, "gru": 3, "lstm": 4}


def recurrent_weights(w: Weights, shape: Shape) -> None:
    """One recurrent layer, orthogonal between time steps."""
    embedding_weights(w, shape)
    gates, width = GATES[shape.net], shape.width
    w.linear("in", features_of(shape), gates * width, gain=0.7 * w.gain)
    blocks = [
        torch.linalg.qr(torch.randn(width, width, generator=w.generator))[0] for _ in range(gates)
    ]
    w.made["time.w"] = w.gain * torch.cat(blocks, 1)
    w.linear("out", width, shape.outputs, gain=0.5)


def recurrent(copies: Copies, shape: Shape, x: Tensor) -> Tensor:
    x = sequence(copies, shape, x)
    inputs = linear(copies, "in", x)
    hidden = cell = inputs.new_zeros(*inputs.shape[:2], shape.width)
    step = {"rnn": _rnn_step, "gru": _gru_step, "lstm": _lstm_step}[shape.net]
    for time in range(inputs.shape[2]):
        hidden, cell = step(inputs[:, :, time], hidden, cell, copies["time.w"])
    return linear(copies, "out", copies.drop(hidden))


def _rnn_step(x: Tensor, hidden: Tensor, cell: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return torch.tanh(x + torch.bmm(hidden, weight)), cell


def _gru_step(x: Tensor, hidden: Tensor, cell: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    xr, xz, xn = x.chunk(3, -1)
    hr, hz, hn = torch.bmm(hidden, weight).chunk(3, -1)
    update = torch.sigmoid(xz + hz)
    new = torch.tanh(xn + torch.sigmoid(xr + hr) * hn)
    return update * hidden + (1 - update) * new, cell


def _lstm_step(x: Tensor, hidden: Tensor, cell: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = (x + torch.bmm(hidden, weight)).chunk(4, -1)
    cell = torch.sigmoid(f + 1) * cell + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell


def transformer_weights(w: Weights, shape: Shape) -> None:
    """``depth`` blocks of attention (two heads) and a dense layer, normalized before each."""
    embedding_weights(w, shape)
    width = shape.width
    steps = shape.inputs[0] if shape.vocabulary else shape.inputs[1]
    w.linear("embedding", features_of(shape), width, gain=0.7 * w.gain)
    w.made["position"] = torch.randn(steps, width, generator=w.generator) * 0.1
    for block in range(shape.depth):
        w.norm(f"norm{block}a", width)
        w.linear(f"qkv{block}", width, 3 * width, gain=0.7 * w.gain)
        w.linear(f"mix{block}", width, width, gain=0.7 * w.gain)
        w.norm(f"norm{block}b", width)
        w.linear(f"up{block}", width, 2 * width)
        w.linear(f"down{block}", 2 * width, width, gain=0.7 * w.gain)
    w.norm("last", width)
    w.linear("out", width, shape.outputs, gain=0.5)


def transformer(copies: Copies, shape: Shape, x: Tensor) -> Tensor:
    x = linear(copies, "embedding", sequence(copies, shape, x))
    x = x + copies["position"].unsqueeze(1)
    for block in range(shape.depth):
        x = x + copies.drop(_attention(copies, block, x))
        inner = linear(copies, f"up{block}", normalized(copies, f"norm{block}b", x))
        inner = ACTIVATIONS[shape.activation](inner)
        x = x + copies.drop(linear(copies, f"down{block}", inner))
    x = normalized(copies, "last", x)
    return linear(copies, "out", x[:, :, -1] if shape.vocabulary else x.mean(2))


def _attention(copies: Copies, block: int, x: Tensor) -> Tensor:
    qkv = linear(copies, f"qkv{block}", normalized(copies, f"norm{block}a", x))
    heads = qkv.flatten(0, 1).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(*heads)
    mixed = mixed.transpose(1, 2).flatten(2).unflatten(0, x.shape[:2])
    return linear(copies, f"mix{block}", mixed)


# --- kinds that no part but `unseen` has ----------------------------------------------------------


def gated_weights(w: Weights, shape: Shape) -> None:
    """``depth`` layers of ``width`` units, each multiplied by a gate of its own."""
    inputs = math.prod(shape.inputs)
    for layer in range(shape.depth):
        w.linear(f"gated{layer}", inputs if layer == 0 else shape.width, 2 * shape.width)
    w.linear("out", shape.width, shape.outputs, gain=0.5)


def gated(copies: Copies, shape: Shape, x: Tensor) -> Tensor:
    x = x.flatten(2)
    for layer in range(shape.depth):
        value, gate = linear(copies, f"gated{layer}", x).chunk(2, -1)
        x = copies.drop(ACTIVATIONS[shape.activation](value) * torch.sigmoid(gate + 1))
    return linear(copies, "out", x)


def mixer_weights(w: Weights, shape: Shape) -> None:
    """Rows of a picture as tokens; ``depth`` blocks that mix first the tokens, then the features.

    Tolstikhin et al., MLP-Mixer, 2021.
    """
    tokens, width = shape.inputs[1], shape.width
    w.linear("embedding", features_of(shape), width, gain=0.7 * w.gain)
    for block in range(shape.depth):
        for part, size in (("tokens", tokens), ("features", width)):
            w.norm(f"norm{block}{part}", width)
            w.linear(f"up{block}{part}", size, 2 * size)
            w.linear(f"down{block}{part}", 2 * size, size, gain=0.7 * w.gain)
    w.norm("last", width)
    w.linear("out", width, shape.outputs, gain=0.5)


def mixer(copies: Copies, shape: Shape, x: Tensor) -> Tensor:
    act = ACTIVATIONS[shape.activation]
    x = linear(copies, "embedding", sequence(copies, shape, x))
    for block in range(shape.depth):
        for part in ("tokens", "features"):
            inner = normalized(copies, f"norm{block}{part}", x)
            inner = inner.transpose(2, 3) if part == "tokens" else inner
            inner = act(linear(copies, f"up{block}{part}", inner))
            inner = linear(copies, f"down{block}{part}", inner)
            x = x + copies.drop(inner.transpose(2, 3) if part == "tokens" else inner)
    return linear(copies, "out", normalized(copies, "last", x).mean(2))


def separable_weights(w: Weights, shape: Shape) -> None:
    """A 3x3 convolution, then ``depth`` depthwise ones, each followed by a pointwise one.

    Howard et al., MobileNets, 2017.
    """
    w.linear("stem", shape.inputs[0] * 9, shape.width)
    width = shape.width
    for block in range(shape.depth):
        w.linear(f"depth{block}", 9, width)
        w.linear(f"point{block}", width, 2 * width)
        w.norm(f"norm{block}", 2 * width)
        width *= 2
    w.linear("out", width, shape.outputs, gain=0.5)


def separable(copies: Copies, shape: Shape, x: Tensor) -> Tensor:
    act = ACTIVATIONS[shape.activation]
    x = pool(act(conv(copies, "stem", x)))
    for block in range(shape.depth):
        x = _depthwise(copies, f"depth{block}", x)
        x = linear(copies, f"point{block}", x.permute(0, 1, 3, 4, 2)).permute(0, 1, 4, 2, 3)
        x = act(normalized(copies, f"norm{block}", x, channels=True))
    return linear(copies, "out", copies.drop(x.mean((3, 4))))


def _depthwise(copies: Copies, name: str, x: Tensor) -> Tensor:
    s, b, c, h, w = x.shape
    kernels = copies[f"{name}.w"].transpose(1, 2).reshape(s * c, 1, 3, 3)
    mixed = x.transpose(0, 1).reshape(b, s * c, h, w)
    out = F.conv2d(mixed, kernels, copies[f"{name}.b"].flatten(), padding=1, groups=s * c)
    return out.view(b, s, c, h, w).transpose(0, 1)


def temporal_weights(w: Weights, shape: Shape) -> None:
    """``depth`` causal convolutions in time, over two steps that lie 1, 2, 4, … apart.

    Bai et al., An Empirical Evaluation of Generic Convolutional and Recurrent Networks, 2018.
    """
    embedding_weights(w, shape)
    inputs = features_of(shape)
    for layer in range(shape.depth):
        w.linear(f"time{layer}", 2 * (inputs if layer == 0 else shape.width), shape.width)
    w.linear("out", shape.width, shape.outputs, gain=0.5)


def temporal(copies: Copies, shape: Shape, x: Tensor) -> Tensor:
    x = sequence(copies, shape, x)
    for layer in range(shape.depth):
        before = F.pad(x, (0, 0, 2**layer, 0))[:, :, : x.shape[2]]
        x = linear(copies, f"time{layer}", torch.cat([before, x], -1))
        x = copies.drop(ACTIVATIONS[shape.activation](x))
    return linear(copies, "out", x.mean(2))
