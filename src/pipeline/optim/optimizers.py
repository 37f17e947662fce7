"""From a network to a torch optimizer, with weight decay on the weight matrices only."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

from pipeline.errors import ConfigError
from pipeline.penalties import weight_matrices

FUSED_DEVICES: Mapping[type[Optimizer], frozenset[str]] = {
    Adam: frozenset({"cpu", "cuda", "mps"}),
    AdamW: frozenset({"cpu", "cuda", "mps"}),
    SGD: frozenset({"cpu", "cuda", "mps"}),
    Adagrad: frozenset({"cpu", "cuda"}),
}
"""Devices where torch has one kernel for the step: faster, equal up to rounding."""


def build_optimizer(
    network: nn.Module,
    *,
    target: type[Optimizer],
    learning_rate: float,
    weight_decay: float,
    fused: bool | None,
    **options: Any,
) -> Optimizer:
    """Build ``target`` over the trainable parameters; only weight matrices have weight decay.

    There are two groups: weights of two or more dimensions, with ``weight_decay``, and then biases
    and the parameters of normalizations, without.  An empty group is left out.  Without weight
    decay there is one group, since each group costs a small network's step 2 %.

    learning_rate: > 0.  weight_decay: ≥ 0, in the target's own sense: Adam and SGD add it to the
        gradient, AdamW decouples it (Loshchilov and Hutter 2019).
    fused: None takes the fused kernel wherever torch has one for all parameters' devices.
    options: further arguments of the target, such as ``momentum`` and ``nesterov`` of SGD.

    Raises `ConfigError` where the target does not have an option or refuses the combination.
    """
    accepted = inspect.signature(target).parameters
    _check_options(target, given=options, accepted=accepted)
    _check_step(target)
    if weight_decay > 0 and "weight_decay" not in accepted:
        raise ConfigError(
            f"optimizer.weight_decay: {weight_decay:g}, but {target.__name__} has no weight decay. "
            "Set optimizer.weight_decay=0 (penalty.l2 works with every optimizer)."
        )
    if fused and "fused" not in accepted:
        raise ConfigError(
            f"optimizer.fused: {fused}, but {target.__name__} has no fused kernel. "
            "Set optimizer.fused=null."
        )

    settings = options | {"lr": learning_rate}
    if fused is None and _can_fuse(network, target=target, options=options):
        settings["fused"] = True
    elif fused is not None and "fused" in accepted:
        settings["fused"] = fused
    try:
        return target(parameter_groups(network, weight_decay=weight_decay), **settings)
    except (ValueError, RuntimeError, TypeError, LookupError) as error:
        raise ConfigError(
            f"optimizer: {target.__name__} refuses {settings}: {error}. "
            "Change the optimizer.… setting that it names."
        ) from error


def parameter_groups(network: nn.Module, *, weight_decay: float) -> list[dict[str, Any]]:
    """Split the trainable parameters: weight matrices with ``weight_decay``, others without."""
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if weight_decay == 0:
        # Explicit, since AdamW's own default is 0.01
        return [{"params": trainable, "weight_decay": 0.0}]
    matrices = {id(weight) for weight in weight_matrices(network)}
    decayed = [parameter for parameter in trainable if id(parameter) in matrices]
    others = [parameter for parameter in trainable if id(parameter) not in matrices]
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _check_options(
    target: type[Optimizer], *, given: Mapping[str, Any], accepted: Mapping[str, inspect.Parameter]
) -> None:
    allowed = sorted(set(accepted) - {"params", "lr", "weight_decay", "fused"})
    for name in given:
        if name not in allowed:
            nearest = difflib.get_close_matches(name, allowed, n=1)
            remove = f"Remove it: ~optimizer.{name}"
            way_out = f"Did you mean optimizer.{nearest[0]}?" if nearest else remove
            raise ConfigError(
                f"optimizer.{name}: {target.__name__} has no such option; "
                f"it has {', '.join(allowed)}. {way_out}"
            )


def _check_step(target: type[Optimizer]) -> None:
    closure = inspect.signature(target.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ConfigError(
            f"optimizer: {target.__name__} evaluates the loss several times a step, so a step's "
            "numbers would be counted several times. "
            "Set one that takes one gradient a step: optimizer=adam."
        )


def _can_fuse(network: nn.Module, *, target: type[Optimizer], options: Mapping[str, Any]) -> bool:
    if options.get("foreach") or options.get("differentiable"):
        return False  # the person asked for another implementation
    devices = FUSED_DEVICES.get(target, frozenset())
    return all(
        parameter.device.type in devices and torch.is_floating_point(parameter)
        for parameter in network.parameters()
    )
