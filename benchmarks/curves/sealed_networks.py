"""The kinds of network of the part `sealed`, which no other part has."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from networks import (
    ACTIVATIONS,
    Copies,
    Shape,
    Weights,
    conv,
    embedding_weights,
    features_of,
    linear,
    normalized,
    pool,
    sequence,
)
from torch import Tensor

PIECES = 3  # linear functions of which a maxout unit takes the largest
SPAN = 5  # steps that a convolution in time sees


def maxout_weights(w: Weights, shape: Shape) -> None:
    """``depth`` layers of ``width`` units, each the largest of three linear functions.

    Goodfellow et al., Maxout Networks, 2013.
    """
    inputs = math.prod(shape.inputs)
    for layer in range(shape.depth):
        w.linear(f"pieces{layer}", inputs if layer == 0 else shape.width, PIECES * shape.width)
    w.linear("out", shape.width, shape.outputs, gain=0.5)


def maxout(copies: Copies, shape: Shape, x: Tensor) -> Tensor:
    x = x.flatten(2)
    for layer in range(shape.depth):
        pieces = linear(copies, f"pieces{layer}", x).unflatten(-1, (PIECES, -1))
        x = copies.drop(pieces.amax(-2))
    return linear(copies, "out", x)


def dense_weights(w: Weights, shape: Shape) -> None:
    """Every layer adds ``width`` channels, or numbers, to all that it has read itself.

    Huang et al., Densely Connected Convolutional Networks, 2017.
    """
    pictures = len(shape.inputs) == 3
    size = shape.inputs[0]
    if pictures:
        w.linear("stem", size * 9, shape.width)
        size = shape.width
    for layer in range(shape.depth):
        w.norm(f"norm{layer}", size)
        w.linear(f"layer{layer}", size * (9 if pictures else 1), shape.width)
        size += shape.width
    w.linear("out", size, shape.outputs, gain=0.5)


def dense(copies: Copies, shape: Shape, x: Tensor) -> Tensor:
    act, pictures = ACTIVATIONS[shape.activation], len(shape.inputs) == 3
    if pictures:
        x = pool(act(conv(copies, "stem", x)))
    for layer in range(shape.depth):
        inner = normalized(copies, f"norm{layer}", x, channels=pictures)
        inner = act((conv if pictures else linear)(copies, f"layer{layer}", inner))
        x = torch.cat([x, copies.drop(inner)], 2)
    return linear(copies, "out", x.mean((3, 4)) if pictures else x)


def conv1d_weights(w: Weights, shape: Shape) -> None:
    """Two convolutions over five steps, ``width`` and twice as many channels, each pooled."""
    embedding_weights(w, shape)
    w.linear("time0", SPAN * features_of(shape), shape.width)
    w.linear("time1", SPAN * shape.width, 2 * shape.width)
    w.linear("out", 2 * shape.width, shape.outputs, gain=0.5)


def conv1d(copies: Copies, shape: Shape, x: Tensor) -> Tensor:
    x = sequence(copies, shape, x)
    for layer in range(2):
        steps, half = x.shape[2], SPAN // 2
        padded = F.pad(x, (0, 0, half, half))
        windows = torch.cat([padded[:, :, k : k + steps] for k in range(SPAN)], -1)
        x = ACTIVATIONS[shape.activation](linear(copies, f"time{layer}", windows))
        x = x.unflatten(2, (-1, 2)).amax(3)
    return linear(copies, "out", copies.drop(x.mean(2)))


def statespace_weights(w: Weights, shape: Shape) -> None:
    """``depth`` linear recurrences, unit by unit, each followed by a dense layer.

    Orvieto et al., Resurrecting Recurrent Neural Networks for Long Sequences, 2023.
    """
    embedding_weights(w, shape)
    w.linear("embedding", features_of(shape), shape.width, gain=0.7 * w.gain)
    for layer in range(shape.depth):
        w.made[f"keeps{layer}"] = torch.linspace(-1.0, 4.0, shape.width)
        w.norm(f"norm{layer}", shape.width)
        w.linear(f"in{layer}", shape.width, shape.width)
        w.linear(f"mix{layer}", shape.width, shape.width)
    w.norm("last", shape.width)
    w.linear("out", shape.width, shape.outputs, gain=0.5)


def statespace(copies: Copies, shape: Shape, x: Tensor) -> Tensor:
    x = linear(copies, "embedding", sequence(copies, shape, x))
    for layer in range(shape.depth):
        inputs = linear(copies, f"in{layer}", normalized(copies, f"norm{layer}", x))
        states = torch.matmul(_memory(copies[f"keeps{layer}"], x.shape[2]), inputs.transpose(1, 3))
        mixed = linear(copies, f"mix{layer}", states.transpose(1, 3))
        x = x + copies.drop(ACTIVATIONS[shape.activation](mixed))
    return linear(copies, "out", normalized(copies, "last", x).mean(2))


def _memory(keeps: Tensor, steps: int) -> Tensor:
    """How much of each step ``[S, D, T, T]`` a unit that keeps so much ``[S, D]`` still holds."""
    kept = torch.sigmoid(keeps)[..., None, None]
    ago = torch.arange(steps).unsqueeze(1) - torch.arange(steps)
    powers = torch.where(ago >= 0, kept ** ago.clamp(min=0), 0.0)
    return (1 - kept.square()).sqrt() * powers


SEALED: dict[str, tuple[Callable[[Weights, Shape], None], Callable[..., Tensor]]] = {
    "maxout": (maxout_weights, maxout),
    "dense": (dense_weights, dense),
    "conv1d": (conv1d_weights, conv1d),
    "statespace": (statespace_weights, statespace),
}
