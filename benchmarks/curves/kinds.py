"""Every kind of network by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from locked_networks import LOCKED
from networks import (
    Copies,
    Parameters,
    Shape,
    Weights,
    cnn,
    cnn_weights,
    gated,
    gated_weights,
    mixer,
    mixer_weights,
    mlp,
    mlp_weights,
    recurrent,
    recurrent_weights,
    residual,
    residual_weights,
    separable,
    separable_weights,
    temporal,
    temporal_weights,
    transformer,
    transformer_weights,
)
from sealed_networks import SEALED
from torch import Tensor

NETWORKS: dict[str, tuple[Callable[[Weights, Shape], None], Callable[..., Tensor]]] = {
    "mlp": (mlp_weights, mlp),
    "cnn": (cnn_weights, cnn),
    "residual": (residual_weights, residual),
    "rnn": (recurrent_weights, recurrent),
    "gru": (recurrent_weights, recurrent),
    "lstm": (recurrent_weights, recurrent),
    "transformer": (transformer_weights, transformer),
    "gated": (gated_weights, gated),
    "mixer": (mixer_weights, mixer),
    "separable": (separable_weights, separable),
    "temporal": (temporal_weights, temporal),
    **SEALED,
    **LOCKED,
}


def initial(shape: Shape, *, seeds: Sequence[int], gains: Sequence[float],
            biases: Sequence[float]) -> Parameters:  # fmt: skip
    """Return the weights of one copy for each seed; equal seeds and gains give equal weights."""
    copies = []
    for seed, gain, bias in zip(seeds, gains, biases, strict=True):
        weights = Weights(torch.Generator().manual_seed(seed), gain, bias)
        NETWORKS[shape.net][0](weights, shape)
        copies.append(weights.made)
    return {name: torch.stack([copy[name] for copy in copies]) for name in copies[0]}


def outputs(copies: Copies, shape: Shape, x: Tensor) -> Tensor:
    """``[S, B, …] → [S, B, K]``."""
    return NETWORKS[shape.net][1](copies, shape, x)
