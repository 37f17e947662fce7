"""Initial weights by the rules of the literature, drawn from a separate generator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.errors import ConfigError
from pipeline.models.recurrent import open_forget_gates
from pipeline.models.structure import layers

Rule = Literal["he", "xavier", "orthogonal", "normal", "lecun", "zeros", "default"]
Distribution = Literal["normal", "uniform"]


def standard_deviation(
    rule: Literal["he", "xavier", "lecun"], *, fan_in: int, fan_out: int
) -> float:
    """Return the standard deviation of a weight, from the inputs and outputs of its matrix.

    * ``he``: √(2 / fan_in), for the ReLU family (He et al. 2015; √2 compensates for the half that
      ReLU cuts off)
    * ``xavier``: √(2 / (fan_in + fan_out)), for tanh and the like (Glorot and Bengio 2010)
    * ``lecun``: √(1 / fan_in) (LeCun et al. 1998; also the rule for SELU)
    """
    match rule:
        case "he":
            return math.sqrt(2 / fan_in)
        case "xavier":
            return math.sqrt(2 / (fan_in + fan_out))
        case "lecun":
            return math.sqrt(1 / fan_in)


@torch.no_grad()
def initialize(
    network: nn.Module,
    *,
    name: Rule,
    distribution: Distribution = "normal",
    gain: float = 1.0,
    std: float | None = None,
    bias: float = 0.0,
    generator: torch.Generator,
) -> None:
    """Set the weights and biases of all linear, convolution and recurrent layers anew, in place.

    name: ``he``, ``xavier``, ``lecun`` (see `standard_deviation`), ``orthogonal`` (Saxe et al.
        2013), ``normal`` (with ``std``), ``zeros``, or ``default``, which changes nothing.
    distribution: of ``he``, ``xavier`` and ``lecun``; ``uniform`` has the same standard deviation.
    gain: factor on every weight that is drawn.
    bias: value of all biases except the output layer's (0) and an LSTM's forget gates (1).  A
        recurrent layer adds two biases; the second is 0.

    A recurrent layer's matrices are drawn gate by gate.  Normalization layers stay unchanged.
    The values depend on the generator only, not on the network's device; torch's global generator
    stays where it is.
    Raises `ConfigError` where ``normal`` has no ``std``.
    """
    if name == "default":
        return
    if name == "normal" and std is None:
        raise ConfigError(
            "init.std: not set, but the rule 'normal' has no standard deviation of its own. "
            "Set init.std to a number above 0, such as 0.01, or choose init=he."
        )
    weighted = [layer for _, layer in layers(network)]
    for layer in weighted:
        for matrix in _matrices(layer):
            _fill(matrix, name=name, distribution=distribution, std=std, generator=generator)
            matrix.mul_(gain)
        _fill_biases(layer, bias=0.0 if layer is weighted[-1] else bias)


def _matrices(layer: nn.Module) -> Iterator[Tensor]:
    """Yield views of a layer's weights, one matrix each; of a recurrent layer gate by gate."""
    num_gates = 4 if isinstance(layer, nn.LSTM) else 3 if isinstance(layer, nn.GRU) else 1
    for name, parameter in layer.named_parameters(recurse=False):
        if name.startswith("weight"):
            yield from parameter.chunk(num_gates)


def _fill(
    matrix: Tensor,
    *,
    name: Rule,
    distribution: Distribution,
    std: float | None,
    generator: torch.Generator,
) -> None:
    values = torch.empty(matrix.shape, device=generator.device)
    fan_in, fan_out = matrix[0].numel(), matrix[:, 0].numel()
    match name:
        case "he" | "xavier" | "lecun":
            std = standard_deviation(name, fan_in=fan_in, fan_out=fan_out)
            if distribution == "uniform":
                bound = math.sqrt(3) * std
                values.uniform_(-bound, bound, generator=generator)
            else:
                values.normal_(0.0, std, generator=generator)
        case "normal":
            assert std is not None
            values.normal_(0.0, std, generator=generator)
        case "orthogonal":
            nn.init.orthogonal_(values, generator=generator)
        case "zeros":
            values.zero_()
    matrix.copy_(values)


def _fill_biases(layer: nn.Module, *, bias: float) -> None:
    for name, parameter in layer.named_parameters(recurse=False):
        if name.startswith("bias"):
            parameter.fill_(0.0 if name.startswith("bias_hh") else bias)
    if isinstance(layer, nn.LSTM):
        open_forget_gates(layer)
