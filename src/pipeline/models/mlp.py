"""The multilayer perceptron."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from pipeline.models.dropout import Dropout

Normalization = Literal["none", "batch", "layer"]


class MLP(nn.Module):
    """Flattened pixels through ``depth`` hidden layers of ``width`` units.

    A hidden layer is linear, normalization, activation, dropout; parts that are off are left out.
    A linear layer before batch normalization has no bias: the normalization subtracts the mean.

    input_shape: ``(C, H, W)``.  width ≥ 1.  depth ≥ 0; 0 is softmax regression.
    dropout: 0 ≤ p < 1.
    activation: called once for each use, so that activations with parameters are not shared.
    """

    def __init__(
        self,
        *,
        input_shape: tuple[int, int, int],
        num_classes: int,
        width: int,
        depth: int,
        dropout: float,
        normalization: Normalization,
        activation: Callable[[], nn.Module],
    ) -> None:
        super().__init__()
        steps: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        size = math.prod(input_shape)
        for number in range(1, depth + 1):
            steps[f"linear{number}"] = nn.Linear(size, width, bias=normalization != "batch")
            if normalization != "none":
                steps[f"norm{number}"] = _norm(normalization, width=width)
            steps[f"activation{number}"] = activation()
            if dropout > 0:
                steps[f"dropout{number}"] = Dropout(dropout)
            size = width
        self.hidden = nn.Sequential(steps)
        self.output = nn.Linear(size, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Turn images ``[B, C, H, W]`` float into logits ``[B, num_classes]``."""
        logits: Tensor = self.output(self.hidden(images))
        return logits


def _norm(normalization: Normalization, *, width: int) -> nn.Module:
    return nn.BatchNorm1d(width) if normalization == "batch" else nn.LayerNorm(width)
