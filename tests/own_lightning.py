"""The smallest LightningModule that trains itself."""

from __future__ import annotations

from collections.abc import Sequence

import pytorch_lightning as lightning
import torch
from torch import Tensor, nn
from torch.nn import functional


class Own(lightning.LightningModule):
    """Linear, with gradient descent."""

    def __init__(self, input_shape: Sequence[int], num_classes: int, **_: object) -> None:
        super().__init__()
        size = int(torch.tensor(input_shape).prod())
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(size, num_classes))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        return functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)
