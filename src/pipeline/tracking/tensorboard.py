"""The numbers of a run as event files, for people who use TensorBoard."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import TrackingError
from pipeline.records import EpochRecord


class TensorBoard:
    """Writes event files into one folder."""

    def __init__(self, folder: Path) -> None:
        """Raises `TrackingError` where TensorBoard is not installed."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise TrackingError(
                "tracking.tensorboard=true: TensorBoard is not installed. "
                'Install it with: pip install "tensorboard>=2.19"'
            ) from error
        self.writer = SummaryWriter(str(folder))

    def log_epoch(self, row: EpochRecord) -> None:
        """Write one epoch; steps count epochs from 1."""
        for name, value in row.metrics.items():
            self.writer.add_scalar(name, value, row.epoch + 1)
        self.writer.flush()
