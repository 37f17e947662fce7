"""The layers and activations of a network, in the order of its forward pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from pipeline.models.structure import LAYER_TYPES, eager

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
# A subclass stands before its base.
KINDS: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.LeakyReLU: "leaky_relu",
    nn.PReLU: "prelu",
    nn.ELU: "elu",
    nn.SELU: "selu",
    nn.CELU: "celu",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
    nn.Mish: "mish",
    nn.Softplus: "softplus",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.Hardtanh: "hardtanh",
    nn.Hardsigmoid: "hardsigmoid",
    nn.Hardswish: "hardswish",
}


@dataclass(frozen=True)
class Layer:
    """A layer and its weight matrices (two or more dimensions); biases are not among them."""

    name: str
    weights: tuple[nn.Parameter, ...]


@dataclass(frozen=True)
class ActivationCall:
    """One call of an activation, or the hidden states of a recurrent layer.

    kind: the activation's name in ``conf/``; ``lstm`` or ``gru`` for hidden states of such a layer.
    layer: name of the layer before it.  call: 0 for the module's first call in a forward pass, 1
    for its second, ….  unit_dim: dimension of the output along which its units lie.
    """

    name: str
    kind: str
    layer: str
    module: nn.Module
    call: int
    unit_dim: int


@dataclass(frozen=True)
class Anatomy:
    """Layers and activations by depth, and the first recurrent layer; None where there is none."""

    layers: tuple[Layer, ...]
    activations: tuple[ActivationCall, ...]
    recurrent: nn.RNNBase | None


def discover(network: nn.Module, forward: Callable[[], Any]) -> Anatomy:
    """Return the modules that a forward pass calls: ``forward`` must run ``network`` once.

    Names are those of ``network.named_modules()``; a recurrent layer of depth 2 is ``name.l0`` and
    ``name.l1``; the second call of one activation module is ``name:1``.  Functions such as
    ``torch.relu`` are not modules and are not discovered.
    """
    called: list[tuple[str, nn.Module]] = []
    hooks = [
        module.register_forward_hook(lambda module, _, __, name=name: called.append((name, module)))
        for name, module in network.named_modules()
        if isinstance(module, LAYER_TYPES) or _kind(module)
    ]
    try:
        with eager(network):
            forward()
    finally:
        for hook in hooks:
            hook.remove()
    return _in_order(called)


def _in_order(called: list[tuple[str, nn.Module]]) -> Anatomy:
    layers: list[Layer] = []
    activations: list[ActivationCall] = []
    calls: Counter[nn.Module] = Counter()
    before, unit_dim = "", -1
    for name, module in called:
        if isinstance(module, LAYER_TYPES):
            own = _layers(name, module)
            layers += own if calls[module] == 0 else []
            before = own[-1].name if own else name
            unit_dim = 1 if isinstance(module, CONVOLUTIONS) else -1
        if kind := _kind(module):
            call = calls[module]
            shown = f"{name}:{call}" if call else name
            activations.append(ActivationCall(shown, kind, before, module, call, unit_dim))
        calls[module] += 1
    recurrent = next((module for _, module in called if isinstance(module, nn.RNNBase)), None)
    return Anatomy(tuple(layers), tuple(activations), recurrent)


def _layers(name: str, module: nn.Module) -> list[Layer]:
    own = dict(module.named_parameters(recurse=False))
    computed = getattr(module, "parametrizations", None)  # of torch.nn.utils, as by weight_norm
    if isinstance(computed, nn.ModuleDict):
        own |= dict(computed.named_parameters())
    weights = {key: p for key, p in own.items() if p.ndim >= 2}
    if not isinstance(module, nn.RNNBase):
        return [Layer(name, tuple(weights.values()))] if weights else []
    levels: dict[str, list[nn.Parameter]] = {f"l{i}": [] for i in range(module.num_layers)}
    for key, parameter in weights.items():  # such as weight_ih_l0, weight_hh_l1_reverse
        level = key.partition(".")[0].removesuffix("_reverse").rpartition("_")[2]
        levels[level].append(parameter)
    return [Layer(f"{name}.{level}", tuple(own)) for level, own in levels.items()]


def _kind(module: nn.Module) -> str | None:
    if isinstance(module, nn.RNN):
        return str(module.nonlinearity)
    if isinstance(module, nn.LSTM | nn.GRU):
        return type(module).__name__.lower()
    return next((kind for cls, kind in KINDS.items() if isinstance(module, cls)), None)
