"""The order in which the numbers of images lie in memory, for networks with convolutions.

With the channels of a pixel side by side (channels last), convolutions and poolings of the textbook
CNN take a quarter of the time on a processor with AVX-512 (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from pipeline import interruption


def convolves(network: nn.Module) -> bool:
    """Whether a network has convolutions over pictures."""
    return any(isinstance(module, nn.Conv2d) for module in network.modules())


def bears_channels_last(network: nn.Module, shape: Sequence[int]) -> bool:
    """Whether a network's ``forward`` works in that order; one of a person's own is tried.

    shape: of an image.  A ``view`` of what a convolution gives fails there, as in many tutorials.
    Modes and weights are as before.
    """
    if type(network).__module__.startswith("pipeline."):
        return True
    modes = [(module, module.training) for module in network.modules()]
    weight = next(network.parameters(), torch.zeros(()))
    images = torch.zeros(2, *shape, device=weight.device)
    try:
        network.eval().to(memory_format=torch.channels_last)
        with torch.no_grad():
            network(images.contiguous(memory_format=torch.channels_last))
    except Exception:
        if interruption.received() is not None:  # a library has made an error of the signal
            raise
        return False
    finally:
        network.to(memory_format=torch.contiguous_format)
        for module, training in modes:
            module.training = training
    return True


@contextmanager
def fastest_layout(network: nn.Module, shape: Sequence[int]) -> Iterator[torch.memory_format]:
    """Keep a network's weights in the order in which it answers fastest; give the images' order."""
    last = len(shape) == 3 and convolves(network) and bears_channels_last(network, shape)
    if not last:
        yield torch.contiguous_format
        return
    network.to(memory_format=torch.channels_last)
    try:
        yield torch.channels_last
    finally:
        network.to(memory_format=torch.contiguous_format)
