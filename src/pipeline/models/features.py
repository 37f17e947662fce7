"""The numbers that a network has computed of an image when it comes to its last layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.models.inference import logits_in_parts
from pipeline.models.structure import eager, layers

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
    forward pass, whose input has one row an image.  Of the maps of a convolution the mean over
    pixels is taken; of more than `MOST_FEATURES` numbers a fixed choice, evenly spread.  Empty for
    a network without such layers.
    """
    by_image = _by_image(network, images.shape[1:])
    parts: list[list[np.ndarray]] = []
    logits: list[np.ndarray] = []
    with _inputs_of_layers(network) as called:
        for part in logits_in_parts(network, images, mean=mean, std=std):
            logits.append(part)
            # From the last call on: the trial of the layout has made calls before.
            backwards = zip(reversed(called), reversed(by_image), strict=False)
            own = [inputs for inputs, is_own in backwards if is_own]
            parts.append([_flat(inputs).numpy() for inputs in own[:NUM_LAYERS]])
            called.clear()
    features = [np.concatenate(layer) for layer in zip(*parts, strict=True)]
    return np.concatenate(logits), features


@contextmanager
def _inputs_of_layers(network: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the input of each call of a layer, in the order of the forward pass."""
    called: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            called.append(inputs[0])

    hooks = [m.register_forward_pre_hook(keep) for _, m in layers(network)]
    try:
        with eager(network):
            yield called
    finally:
        for hook in hooks:
            hook.remove()


def _by_image(network: nn.Module, shape: Sequence[int]) -> list[bool]:
    """Return for each call of a layer whether its input has one row for each image.

    A recurrent layer of a person's own may have the time steps first, as torch's do by default.
    """
    trials = []
    for num_images in (2, 3):
        with _inputs_of_layers(network) as called, torch.inference_mode():
            network(torch.zeros(num_images, *shape))
            trials.append([inputs.ndim > 1 and len(inputs) == num_images for inputs in called])
    return [all(pair) for pair in zip(*trials, strict=True)]


def _flat(values: Tensor) -> Tensor:
    """Return ``[B, D]`` float32 of the inputs of a layer."""
    values = values.float()
    flat = values.mean((2, 3)) if values.ndim == 4 else values.flatten(1)
    if flat.shape[1] > MOST_FEATURES:
        chosen = torch.linspace(0, flat.shape[1] - 1, MOST_FEATURES).round().long()
        flat = flat[:, chosen]
    return flat
