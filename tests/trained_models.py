"""Small models that tests train for real, on one thread of the processor."""

from __future__ import annotations

from pathlib import Path

from pipeline.commands.train_job import train
from pipeline.config import compose

ON_ONE_THREAD = (
    "trainer.accelerator=cpu",
    "trainer.precision=32",
    "trainer.num_threads=1",
)
# Eight units, four epochs on a fifth of the images, a tenth of the labels shuffled.
TINY = (
    *ON_ONE_THREAD,
    "signals.sample_size=100",
    "trainer.sample_size=100",
    "model.width=8",
    "model.depth=1",
    "data.fraction=0.2",
    "data.label_noise=0.1",
    "trainer.max_epochs=4",
)


def train_model(root: Path, *overrides: str) -> Path:
    """Train a model with these overrides; return its folder."""
    config = compose(overrides, root=root)
    train(config, root=root, output=root)
    return root / "models" / config.settings.name
