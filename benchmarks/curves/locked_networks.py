"""The kinds of network of the part `locked`, which no other part has."""

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
    embedding_weights,
    features_of,
    linear,
    sequence,
)
from torch import Tensor

EXPERTS = 3
KNOTS = (-2.0, -1.0, 0.0, 1.0, 2.0)  # between which a learned function of one number is straight
WINDOW, STRIDE = 4, 2  # pixels that a local unit sees, and how far its neighbours lie


def setnet_weights(w: Weights, shape: Shape) -> None:
    """Two dense layers for each member of a set, their mean and their maximum, a dense layer.

    Zaheer et al., Deep Sets, 2017.
    """
    embedding_weights(w, shape)
    w.linear("member0", features_of(shape), shape.width)
    w.linear("member1", shape.width, shape.width)
    w.linear("whole", 2 * shape.width, shape.width)
    w.linear("out", shape.width, shape.outputs, gain=0.5)


def setnet(copies: Copies, shape: Shape, x: Tensor) -> Tensor:
    act, x = ACTIVATIONS[shape.activation], sequence(copies, shape, x)
    for layer in range(2):
        x = act(linear(copies, f"member{layer}", x))
    x = torch.cat([x.mean(2), x.amax(2)], -1)
    return linear(copies, "out", copies.drop(act(linear(copies, "whole", x))))


def graph_weights(w: Weights, shape: Shape) -> None:
    """``depth`` rounds in which each node reads the mean of its neighbours, then their mean.

    Kipf and Welling, Semi-Supervised Classification with Graph Convolutional Networks, 2017.
    """
    for layer in range(shape.depth):
        size = 2 if layer == 0 else shape.width
        w.linear(f"own{layer}", size, shape.width)
        w.linear(f"others{layer}", size, shape.width)
    w.linear("out", 2 * shape.width, shape.outputs, gain=0.5)


def graph(copies: Copies, shape: Shape, x: Tensor) -> Tensor:
    act, near = ACTIVATIONS[shape.activation], (x[:, :, 0] > 0).float()
    degree = near.sum(-1, keepdim=True)
    x = torch.cat([degree / 3, torch.ones_like(degree)], -1)
    for layer in range(shape.depth):
        read = near @ x / degree.clamp(min=1)
        x = act(linear(copies, f"own{layer}", x) + linear(copies, f"others{layer}", read))
    return linear(copies, "out", copies.drop(torch.cat([x.mean(2), x.amax(2)], -1)))


def experts_weights(w: Weights, shape: Shape) -> None:
    """``depth`` layers of three experts each, weighted by a gate.

    Jacobs et al., Adaptive Mixtures of Local Experts, 1991.
    """
    inputs = math.prod(shape.inputs)
    for layer in range(shape.depth):
        size = inputs if layer == 0 else shape.width
        w.linear(f"experts{layer}", size, EXPERTS * shape.width)
        w.linear(f"gate{layer}", size, EXPERTS, gain=0.5)
    w.linear("out", shape.width, shape.outputs, gain=0.5)


def experts(copies: Copies, shape: Shape, x: Tensor) -> Tensor:
    x = x.flatten(2)
    for layer in range(shape.depth):
        gate = torch.softmax(linear(copies, f"gate{layer}", x), -1).unsqueeze(-1)
        said = ACTIVATIONS[shape.activation](linear(copies, f"experts{layer}", x))
        x = copies.drop((gate * said.unflatten(-1, (EXPERTS, -1))).sum(-2))
    return linear(copies, "out", x)


def splines_weights(w: Weights, shape: Shape) -> None:
    """``depth`` layers that sum a learned function, straight between five knots, of each number.

    Liu et al., KAN: Kolmogorov-Arnold Networks, 2024.
    """
    inputs = math.prod(shape.inputs)
    for layer in range(shape.depth):
        size = inputs if layer == 0 else shape.width
        w.linear(f"functions{layer}", (1 + len(KNOTS)) * size, shape.width)
    w.linear("out", shape.width, shape.outputs, gain=0.5)


def splines(copies: Copies, shape: Shape, x: Tensor) -> Tensor:
    x, knots = x.flatten(2), torch.tensor(KNOTS)
    for layer in range(shape.depth):
        hats = (1 - (x.unsqueeze(-1) - knots).abs()).clamp(min=0).flatten(2)
        x = copies.drop(linear(copies, f"functions{layer}", torch.cat([x, hats], -1)))
        x = 2 * torch.tanh(x) if layer + 1 < shape.depth else x
    return linear(copies, "out", x)


def local_weights(w: Weights, shape: Shape) -> None:
    """``width`` units for each window of a picture, with weights of their own; a dense layer.

    LeCun, Generalization and Network Design Strategies, 1989.
    """
    c, h, _ = shape.inputs
    windows, pixels = ((h - WINDOW) // STRIDE + 1) ** 2, c * WINDOW**2
    std = w.gain * math.sqrt(2 / pixels)
    w.made["window.w"] = torch.randn(windows, pixels, shape.width, generator=w.generator) * std
    w.made["window.b"] = torch.full((windows, 1, shape.width), w.bias)
    w.linear("dense", windows * shape.width, 8 * shape.width)
    w.linear("out", 8 * shape.width, shape.outputs, gain=0.5)


def local(copies: Copies, shape: Shape, x: Tensor) -> Tensor:
    act = ACTIVATIONS[shape.activation]
    seen = F.unfold(x.flatten(0, 1), WINDOW, stride=STRIDE).unflatten(0, x.shape[:2])
    x = seen.permute(0, 3, 1, 2) @ copies["window.w"] + copies["window.b"]
    x = act(x).transpose(1, 2).flatten(2)
    return linear(copies, "out", copies.drop(act(linear(copies, "dense", x))))


def sine_weights(w: Weights, shape: Shape) -> None:
    """``depth`` layers of sines, the first ones fast.

    Sitzmann et al., Implicit Neural Representations with Periodic Activation Functions, 2020.
    """
    inputs = math.prod(shape.inputs)
    w.linear("sine0", inputs, shape.width, gain=2.5 * w.gain)
    w.made["sine0.b"] = 2 * math.pi * torch.rand(shape.width, generator=w.generator)
    for layer in range(1, shape.depth):
        w.linear(f"sine{layer}", shape.width, shape.width)
    w.linear("out", shape.width, shape.outputs, gain=0.5)


def sine(copies: Copies, shape: Shape, x: Tensor) -> Tensor:
    x = x.flatten(2)
    for layer in range(shape.depth):
        x = copies.drop(torch.sin(linear(copies, f"sine{layer}", x)))
    return linear(copies, "out", x)


LOCKED: dict[str, tuple[Callable[[Weights, Shape], None], Callable[..., Tensor]]] = {
    "setnet": (setnet_weights, setnet),
    "graph": (graph_weights, graph),
    "experts": (experts_weights, experts),
    "splines": (splines_weights, splines),
    "local": (local_weights, local),
    "sine": (sine_weights, sine),
}
