"""The numbers that a network has computed of an image when it comes to its last layers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.models.inference import in_batches
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
    with _inputs_of_layers(network) as here:

        def both(inputs: Tensor) -> tuple[np.ndarray, list[np.ndarray]]:
            here.called = []
            logits = network(inputs).float().numpy()
            backwards = zip(reversed(here.called), reversed(by_image), strict=False)
            own = [values for values, is_own in backwards if is_own]
            return logits, [_flat(values).numpy() for values in own[:NUM_LAYERS]]

        parts = list(in_batches(both, network, images, mean=mean, std=std))
    features = [np.concatenate(layer) for layer in zip(*(part[1] for part in parts), strict=True)]
    return np.concatenate([part[0] for part in parts]), features


class _Called(threading.local):
    """The inputs of the layers that this thread has called."""

    def __init__(self) -> None:
        self.called: list[Tensor] = []


@contextmanager
def _inputs_of_layers(network: nn.Module) -> Iterator[_Called]:
    """Collect the input of each call of a layer, in the order of the forward pass, by thread."""
    here = _Called()

    def keep(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            here.called.append(inputs[0])

    hooks = [m.register_forward_pre_hook(keep) for _, m in layers(network)]
    try:
        with eager(network):
            yield here
    finally:
        for hook in hooks:
            hook.remove()


def _by_image(network: nn.Module, shape: Sequence[int]) -> list[bool]:
    """Return for each call of a layer whether its input has one row for each image.

    A recurrent layer of a person's own may have the time steps first, as torch's do by default.
    """
    trials = []
    for num_images in (2, 3):
        with _inputs_of_layers(network) as here, torch.inference_mode():
            network(torch.zeros(num_images, *shape))
            trials.append([each.ndim > 1 and len(each) == num_images for each in here.called])
    return [all(pair) for pair in zip(*trials, strict=True)]


def _flat(values: Tensor) -> Tensor:
    """Return ``[B, D]`` float32 of the inputs of a layer."""
    values = values.float()
    flat = values.mean((2, 3)) if values.ndim == 4 else values.flatten(1)
    if flat.shape[1] > MOST_FEATURES:
        chosen = torch.linspace(0, flat.shape[1] - 1, MOST_FEATURES).round().long()
        flat = flat[:, chosen]
    return flat
