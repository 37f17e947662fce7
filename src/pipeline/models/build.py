"""From the settings of a model to a network with its initial weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pipeline import interruption
from pipeline.config.guard import build, locate
from pipeline.config.schema import Built, Init
from pipeline.data.batches import epoch_seed
from pipeline.errors import ConfigError
from pipeline.models.initialization import initialize

NUM_TRIED = 2  # images that a person's own network is tried on


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
        if not _inside_ours(a.model.target):
            check_logits(network, a)
    if trains_itself(network):
        return network
    rule: dict[str, Any] = dict(a.init)
    generator = torch.Generator().manual_seed(epoch_seed(seed, 1))
    initialize(network, generator=generator, **rule)
    return network


def trains_itself(network: nn.Module) -> bool:
    """Whether a network is a LightningModule: it has its own loss, optimizer and first weights."""
    return callable(getattr(network, "training_step", None))


def check_logits(network: nn.Module, a: Architecture) -> None:
    """Raise `ConfigError` where a person's own network gives no logits ``[N, classes]``."""
    name, wanted = a.model.target, [NUM_TRIED, a.num_classes]
    images = torch.rand(NUM_TRIED, *a.input_shape)
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            found = network(images)
    except Exception as error:
        if interruption.received() is not None:  # a library has made an error of the signal
            raise
        raise ConfigError(
            f"model._target_={name}: fails on images {list(images.shape)}: "
            f"{type(error).__name__}: {' '.join(str(error).split())}. Its forward() must map "
            f"images to logits {wanted}."
        ) from error
    finally:
        for module, training in modes:  # a person may have frozen a part by eval()
            module.training = training
    shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
    if shape != wanted or not found.is_floating_point():
        raise ConfigError(
            f"model._target_={name}: gives {shape} for images {list(images.shape)}, and must give "
            f"logits {wanted}: one number for each class. Set its number of classes in its file of "
            "conf/model/, beside _target_, or change what its forward() returns."
        )


def _inside_ours(target: str) -> bool:
    return target.startswith("pipeline.")


def _activation(a: Architecture) -> Any:
    key = "activation._target_"
    kind = locate(a.activation.target, kind=nn.Module, allow=a.allow_targets, key=key)
    return partial(kind, **a.activation.arguments())


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
