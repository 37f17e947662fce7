"""The numbers that a network has computed of an image when it comes to its last layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.models.inference import logits_in_parts
from pipeline.models.structure import LAYER_TYPES

NUM_LAYERS = 2
MOST_FEATURES = 1024  # of one layer


def features_of(
    network: nn.Module, images: np.ndarray, *, mean: Sequence[float], std: Sequence[float]
) -> list[np.ndarray]:
    """Return the second part of `logits_and_features`."""
    return logits_and_features(network, images, mean=mean, std=std)[1]


def logits_and_features(
    network: nn.Module, images: np.ndarray, *, mean: Sequence[float], std: Sequence[float]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the logits of `predict_logits` and the inputs of the last layers, of one forward pass.

    Those of the output layer come first, each ``[N, D]`` float32.

    images: ``[N, C, H, W]`` uint8, N ≥ 1.  The layers are those with weights, in the order of the
    forward pass.  Of the maps of a convolution the mean over pixels is taken; of more than
    `MOST_FEATURES` numbers a fixed choice, evenly spread.  Empty for a network without such layers.
    """
    called: list[tuple[nn.Module, Tensor]] = []

    def keep(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            called.append((module, _flat(inputs[0])))

    hooks = [m.register_forward_pre_hook(keep) for m in network.modules() if _has_weights(m)]
    parts: list[list[np.ndarray]] = []
    logits: list[np.ndarray] = []
    try:
        for part in logits_in_parts(network, images, mean=mean, std=std):
            logits.append(part)
            parts.append([values.numpy() for _, values in called[: -NUM_LAYERS - 1 : -1]])
            called.clear()
    finally:
        for hook in hooks:
            hook.remove()
    features = [np.concatenate(layer) for layer in zip(*parts, strict=True)]
    return np.concatenate(logits), features


def _has_weights(module: nn.Module) -> bool:
    return isinstance(module, LAYER_TYPES)


def _flat(values: Tensor) -> Tensor:
    """Return ``[B, D]`` float32 of the inputs of a layer."""
    values = values.float()
    flat = values.mean((2, 3)) if values.ndim == 4 else values.flatten(1)
    if flat.shape[1] > MOST_FEATURES:
        chosen = torch.linspace(0, flat.shape[1] - 1, MOST_FEATURES).round().long()
        flat = flat[:, chosen]
    return flat
