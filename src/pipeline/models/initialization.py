"""Initial weights by the rules of the literature, drawn from a separate generator."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.weight_norm import WeightNorm

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
        for weight in _weights(layer):
            values = torch.empty_like(getattr(layer, weight))
            for matrix in values.chunk(_num_gates(layer)):
                _fill(matrix, name=name, distribution=distribution, std=std, generator=generator)
                matrix.mul_(gain)
            _set(layer, weight, values)
        _fill_biases(layer, bias=0.0 if layer is weighted[-1] else bias)


def _num_gates(layer: nn.Module) -> int:
    return 4 if isinstance(layer, nn.LSTM) else 3 if isinstance(layer, nn.GRU) else 1


def _weights(layer: nn.Module) -> list[str]:
    """Return the names of a layer's weights, also of those that it computes of other ones."""
    own = [name for name, _ in layer.named_parameters(recurse=False) if name.startswith("weight")]
    computed = [hook.name for hook in _weight_norms(layer)]
    parametrized = [*getattr(layer, "parametrizations", {})]
    parts = {f"{name}_{part}" for name in computed for part in "gv"}
    found = [*own, *computed, *parametrized]
    return [name for name in found if name not in parts and name.startswith("weight")]


def _weight_norms(layer: nn.Module) -> list[WeightNorm]:
    hooks = layer._forward_pre_hooks.values()
    return [hook for hook in hooks if isinstance(hook, WeightNorm)]


def _set(layer: nn.Module, name: str, values: Tensor) -> None:
    """Set a weight; one that is computed of other parameters is set through them."""
    if name in getattr(layer, "parametrizations", {}):
        setattr(layer, name, values)
        return
    hook = next((hook for hook in _weight_norms(layer) if hook.name == name), None)
    if hook is None:
        getattr(layer, name).copy_(values)
        return
    getattr(layer, f"{name}_v").copy_(values)
    getattr(layer, f"{name}_g").copy_(torch.norm_except_dim(values, 2, hook.dim))
    hook(layer, None)


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
