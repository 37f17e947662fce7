"""From the settings of a model to a network with its initial weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from pipeline.config.guard import build, locate
from pipeline.config.schema import Built, Init
from pipeline.data.batches import epoch_seed
from pipeline.models.initialization import initialize


@dataclass(frozen=True)
class Architecture:
    """Everything but the seed that decides a network's shape and first weights."""

    model: Built
    activation: Built
    init: Init
    input_shape: tuple[int, int, int]
    num_classes: int
    allow_targets: Sequence[str] = ()


def build_network(architecture: Architecture, *, seed: int) -> nn.Module:
    """Build the network and initialise its weights from the seed; restore torch's generator.

    Raises `ConfigError` for a target outside the allow-list, unknown arguments, or a network that
    does not fit the images.
    """
    a = architecture
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(epoch_seed(seed, 0))
        network: nn.Module = build(
            a.model.target,
            a.model.arguments(),
            kind=nn.Module,
            allow=a.allow_targets,
            offered={
                "input_shape": a.input_shape,
                "num_classes": a.num_classes,
                "activation": _activation(a),
            },
            key="model",
        )
    rule: dict[str, Any] = dict(a.init)
    generator = torch.Generator().manual_seed(epoch_seed(seed, 1))
    initialize(network, generator=generator, **rule)
    return network


def _activation(a: Architecture) -> Any:
    key = "activation._target_"
    kind = locate(a.activation.target, kind=nn.Module, allow=a.allow_targets, key=key)
    return partial(kind, **a.activation.arguments())


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
