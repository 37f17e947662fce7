"""The layers of a network, seen from outside."""

from __future__ import annotations

from torch import nn

LAYER_TYPES = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.RNNBase)
"""The layers that carry weight matrices."""


def layers(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """List the weight-carrying layers (linear, convolution, recurrent) with their names.

    The names are those of ``named_modules``.  The order is the order of definition, which for the
    networks of this package is the order of the forward pass: the last one gives the logits.
    """
    return [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, LAYER_TYPES)
    ]
