"""The network of a run, from its settings and the shape of its data."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from pipeline.config import Settings
from pipeline.home import expanded
from pipeline.models.build import Architecture, build_network
from pipeline.models.initial_weights import start_from
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


def untrained_network(settings: Settings, card: DataCard, *, root: Path) -> nn.Module:
    """Build the network of a run with its initial weights.

    The run's seed decides them, or the file ``initial_weights``, which lies below ``root``.
    Raises `ConfigError` where the settings describe no network for this data, or the file does not
    fit the network.
    """
    network = build_network(architecture(settings, card), seed=settings.seed)
    if settings.initial_weights is not None:
        shown = settings.initial_weights
        start_from(root / expanded(shown), network, shown=shown)
    return network
