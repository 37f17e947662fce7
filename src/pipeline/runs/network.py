"""The network of a run, from its settings and the shape of its data."""

from __future__ import annotations

from torch import nn

from pipeline.config import Settings
from pipeline.models.build import Architecture, build_network
from pipeline.records import DataCard


def architecture(settings: Settings, card: DataCard) -> Architecture:
    """Return the architecture that the settings describe, for images and classes of this data."""
    return Architecture(
        model=settings.model,
        activation=settings.activation,
        init=settings.init,
        input_shape=card.image_shape,
        num_classes=card.num_classes,
        allow_targets=settings.allow_targets,
    )


def untrained_network(settings: Settings, card: DataCard) -> nn.Module:
    """Build the network of a run with its initial weights, which the run's seed decides.

    Raises `ConfigError` where the settings describe no network for this data.
    """
    return build_network(architecture(settings, card), seed=settings.seed)
