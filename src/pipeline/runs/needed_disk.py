"""Which folders a training writes into, and how much at most."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from pipeline.config import Settings
from pipeline.disk import check_disk

# A checkpoint holds weights, the best weights, two moments of the optimizer, and some air.
COPIES_IN_A_CHECKPOINT = 5
TABLES = 2_000_000  # history, pictures, lines of a journal
DATABASE = 3_000_000


def check_room(network: nn.Module, settings: Settings, *, output: Path, root: Path) -> None:
    """Check room and rights for a training before its first step.

    output: where ``models/`` and ``results/`` are written.  Raises the errors of `check_disk`.
    """
    weights = sum(t.numel() * t.element_size() for t in network.state_dict().values())
    signals = _signals(settings)
    checkpoint = COPIES_IN_A_CHECKPOINT * weights + signals
    places = {
        root / "checkpoints": 2 * checkpoint,  # the former one stays until the next is whole
        output / "models": 2 * weights,
        output / "results": signals + TABLES,
        **(_record(weights + signals + TABLES, root) if settings.tracking.enabled else {}),
    }
    check_disk(places, largest=max(checkpoint, TABLES))


def _signals(settings: Settings) -> int:
    """Bytes of the signals of all epochs, generously: a loss and an answer for each example."""
    if not settings.signals.enabled:
        return 0
    moments = settings.trainer.max_epochs + 1
    return moments * (2 * settings.signals.sample_size * 5 + 2_000)


def _record(size: int, root: Path) -> Mapping[Path, int]:
    return {root / "journal": size, root / "mlruns": size, root: DATABASE}
