"""Penalties on the size of the weights, added to the loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

NORMS_OF_ANY_SHAPE = (nn.LayerNorm, nn.RMSNorm)
"""Normalizations whose gains may have several dimensions; those of all others have one."""


def weight_matrices(network: nn.Module) -> list[nn.Parameter]:
    """List the weights of two or more dimensions, each once: no biases, no normalization gains."""
    weights = {
        id(parameter): parameter
        for module in network.modules()
        if not isinstance(module, NORMS_OF_ANY_SHAPE)
        for parameter in module.parameters(recurse=False)
        if parameter.ndim >= 2
    }
    return list(weights.values())


def penalty(weights: Sequence[Tensor], *, l1: float, l2: float) -> Tensor:
    """Return ``l1 · Σ|w| + l2 · Σw²`` over all elements, a scalar that can be differentiated.

    Keras' convention has no ½ before the squares, so the gradient is ``l1 · sign(w) + 2 · l2 · w``
    (0 where w = 0).  Weight decay λ of torch's SGD is therefore l2 = λ / 2.
    l1, l2 ≥ 0.  Without weights, or with both 0, the penalty is 0.
    """
    total = weights[0].new_zeros(()) if weights else torch.zeros(())
    if l1 > 0:
        total = total + l1 * sum(weight.abs().sum() for weight in weights)
    if l2 > 0:
        total = total + l2 * sum(weight.square().sum() for weight in weights)
    return total
