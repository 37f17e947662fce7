"""A LightningModule as a person would write it, and the shortest training of it with signals."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytorch_lightning as lightning
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, TensorDataset

from pipeline.records import SignalRecord
from pipeline.training.signals import Signals


class OwnModule(lightning.LightningModule):
    """Cross-entropy and plain gradient descent."""

    def __init__(
        self, network: nn.Module, *, learning_rate: float = 0.1, weight_decay: float = 0.0
    ) -> None:
        super().__init__()
        self.network = network
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, labels = batch
        return functional.cross_entropy(self(images), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        self.training_step(batch, 0)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )


def examples(num: int = 64, *, size: Sequence[int] = (1, 4, 4), classes: int = 3) -> TensorDataset:
    """Normal noise as images, with the classes in turn."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn((num, *size), generator=generator)
    return TensorDataset(images, torch.arange(num) % classes)


def dense(*widths: int, activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Linear layers of these widths, with activations between them."""
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in itertools.pairwise(widths[:-1]):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def silent_trainer(
    folder: Path, callbacks: Iterable[lightning.Callback], *, epochs: int = 1, **options: object
) -> lightning.Trainer:
    """A trainer on the processor that prints and logs nothing."""
    return lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=list(callbacks),
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,  # type: ignore[arg-type]
    )


def measured(
    network: nn.Module,
    folder: Path,
    data: Dataset[tuple[Tensor, ...]] | None = None,
    *,
    epochs: int = 1,
    signals: Signals | None = None,
    learning_rate: float = 0.1,
    weight_decay: float = 0.0,
    more: Sequence[lightning.Callback] = (),
    val: Dataset[tuple[Tensor, ...]] | None = None,
    **options: object,
) -> SignalRecord:
    """Train in steps of 16 images, and return the signals. val: without it the training data."""
    data = data or examples()
    signals = signals or Signals()
    trainer = silent_trainer(folder, [signals, *more], epochs=epochs, **options)
    loaders = DataLoader(data, batch_size=16, shuffle=True), DataLoader(val or data, batch_size=32)
    module = OwnModule(network, learning_rate=learning_rate, weight_decay=weight_decay)
    trainer.fit(module, *loaders)
    return signals.record()
