"""Which folders a training writes into, and how much at most."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from pipeline.config import Settings
from pipeline.disk import check_disk
from pipeline.models.features import MOST_FEATURES, NUM_LAYERS
from pipeline.models.structure import layers
from pipeline.runs.familiarity import MOST_TRAIN

# A checkpoint holds weights, the best weights, two moments of the optimizer, and some air.
COPIES_IN_A_CHECKPOINT = 5
BYTES_A_FEATURE = 2
PIXELS = 500_000  # their components, in what tells which pictures are unlike the training data
TABLES = 2_000_000  # history, pictures, lines of a journal
DATABASE = 3_000_000


def check_room(network: nn.Module, settings: Settings, *, output: Path, root: Path) -> None:
    """Check room and rights for a training before its first step.

    output: where ``models/`` and ``results/`` are written.  Raises the errors of `check_disk`.
    """
    weights = sum(t.numel() * t.element_size() for t in network.state_dict().values())
    signals = _signals(settings)
    checkpoint = COPIES_IN_A_CHECKPOINT * weights + signals
    model = weights + _familiarity(network)
    places = {
        root / "checkpoints": 2 * checkpoint,  # the former one stays until the next is whole
        output / "models": 2 * model,
        output / "results": signals + TABLES,
        **(_record(model + signals + TABLES, root) if settings.tracking.enabled else {}),
    }
    check_disk(places, largest=max(checkpoint, model, TABLES))


def _signals(settings: Settings) -> int:
    """Bytes of the signals of all epochs, generously: a loss and an answer for each example."""
    if not settings.signals.enabled:
        return 0
    moments = settings.trainer.max_epochs + 1
    return moments * (2 * settings.signals.sample_size * 5 + 2_000)


def _familiarity(network: nn.Module) -> int:
    """Bytes of what tells which pictures are unlike: features of training images, by layer."""
    widths = [_width(layer) for _, layer in layers(network)[-NUM_LAYERS:]]
    return MOST_TRAIN * sum(widths) * BYTES_A_FEATURE + PIXELS


def _width(layer: nn.Module) -> int:
    """Features of a layer's input at most."""
    wide = layer.in_features if isinstance(layer, nn.Linear) else MOST_FEATURES
    return min(wide, MOST_FEATURES)


def _record(size: int, root: Path) -> Mapping[Path, int]:
    return {root / "journal": size, root / "mlruns": size, root: DATABASE}
