"""The layers of a network, seen from outside."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
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


def eager(network: nn.Module) -> AbstractContextManager[Any]:
    """Run modules of ``torch.compile`` uncompiled inside: compiled ones do not call new hooks."""
    # Only where needed: it imports torch's compiler, which takes seconds.
    return torch.compiler.set_stance("force_eager") if is_compiled(network) else nullcontext()


def is_compiled(network: nn.Module) -> bool:
    """Whether a part of a network is one of ``torch.compile``."""
    return any(
        type(module).__module__.startswith("torch._dynamo")
        or module._compiled_call_impl is not None
        for module in network.modules()
    )


def has_known_layers_only(network: nn.Module) -> bool:
    """Whether all layers are torch's or ours. One of a person's own may count or draw numbers."""
    known = ("torch.nn.modules.", "pipeline.models.")
    return all(type(layer).__module__.startswith(known) for layer in network.modules())
