"""The convolutional network: blocks of convolutions and pooling, then a dense head."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from pipeline.errors import ConfigError
from pipeline.models.dropout import Dropout

Normalization = Literal["none", "batch", "layer"]
Padding = Literal["valid", "same"]
Pooling = Literal["max", "average"]
# Never falling, so that f(max(a, b)) = max(f(a), f(b)).
NON_DECREASING = (nn.ReLU, nn.SELU, nn.Tanh, nn.Sigmoid)


class CNN(nn.Module):
    """``depth`` blocks, a dense layer and the output layer.

    Block i = 0, 1, … has ``width · 2^i`` channels: ``convs_per_block`` times convolution,
    normalization, activation; then a 2×2 pool (an odd last row or column is dropped) and dropout of
    whole channels with ``block_dropout``.  The head is a dense layer of ``dense`` units (0: none)
    with its activation, dropout, and the output layer.  Parts that are off are left out.

    A max pool goes before the block's last activation where that never falls. The largest of four
    is then the same pixel before and after, so outputs and gradients are the same, and the
    activation has a quarter of the work.

    Width 32, depth 2, one 3×3 convolution a block, valid padding, max pooling, dense 128 and
    dropout 0.5 is the textbook network for MNIST (Keras' and PyTorch's first example).

    ``layer`` normalization is ``GroupNorm`` with one group: over channels and pixels together.
    A convolution before batch normalization has no bias: the normalization subtracts the mean.

    input_shape: ``(C, H, W)``.  width, depth, convs_per_block, kernel_size ≥ 1.  dense ≥ 0.
    dropout, block_dropout: 0 ≤ p < 1.  activation: called once for each use.

    Raises `ConfigError` where the image is too small for that many blocks.
    """

    def __init__(
        self,
        *,
        input_shape: tuple[int, int, int],
        num_classes: int,
        width: int,
        depth: int,
        convs_per_block: int,
        kernel_size: int,
        padding: Padding,
        pooling: Pooling,
        dense: int,
        dropout: float,
        block_dropout: float,
        normalization: Normalization,
        activation: Callable[[], nn.Module],
    ) -> None:
        super().__init__()
        channels, height, width_px = input_shape
        border = convs_per_block * (kernel_size - 1) if padding == "valid" else 0
        num_pixels = math.prod(_map_size((height, width_px), depth=depth, border=border))
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        for index in range(depth):
            blocks[f"block{index + 1}"] = _block(
                channels,
                width * 2**index,
                num_convs=convs_per_block,
                kernel_size=kernel_size,
                padding=padding,
                pooling=pooling,
                dropout=block_dropout,
                normalization=normalization,
                activation=activation,
            )
            channels = width * 2**index
        self.blocks = nn.Sequential(blocks)
        num_features = channels * num_pixels
        self.head = _head(num_features, dense=dense, dropout=dropout, activation=activation)
        self.output = nn.Linear(dense or num_features, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Turn images ``[B, C, H, W]`` float into logits ``[B, num_classes]``."""
        logits: Tensor = self.output(self.head(self.blocks(images)))
        return logits


def _map_size(image_size: tuple[int, int], *, depth: int, border: int) -> tuple[int, int]:
    """Return the size ``(H, W)`` after ``depth`` blocks: minus ``border``, then halved."""
    height, width = image_size
    for index in range(depth):
        height, width = (height - border) // 2, (width - border) // 2
        if min(height, width) < 1:
            raise ConfigError(
                f"model.depth: {depth} is too deep for images of {image_size[0]}×{image_size[1]} "
                f"pixels. The convolutions of each block remove {border} rows and columns and the "
                f"pool halves the rest, so block {index + 1} has nothing left. "
                + (f"Set model.depth={index}" if index else "Set a smaller model.kernel_size")
                + (", or model.padding=same." if border else ".")
            )
    return height, width


def _block(
    in_channels: int,
    channels: int,
    *,
    num_convs: int,
    kernel_size: int,
    padding: Padding,
    pooling: Pooling,
    dropout: float,
    normalization: Normalization,
    activation: Callable[[], nn.Module],
) -> nn.Sequential:
    steps: OrderedDict[str, nn.Module] = OrderedDict()
    for number in range(1, num_convs + 1):
        steps[f"conv{number}"] = nn.Conv2d(
            in_channels, channels, kernel_size, padding=padding, bias=normalization != "batch"
        )
        if normalization != "none":
            steps[f"norm{number}"] = _norm(normalization, channels=channels)
        steps[f"activation{number}"] = activation()
        in_channels = channels
    steps["pool"] = nn.MaxPool2d(2) if pooling == "max" else nn.AvgPool2d(2)
    last = f"activation{num_convs}"
    if pooling == "max" and isinstance(steps[last], NON_DECREASING):
        steps.move_to_end(last)
    if dropout > 0:
        steps["dropout"] = nn.Dropout2d(dropout)
    return nn.Sequential(steps)


def _norm(normalization: Normalization, *, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if normalization == "batch" else nn.GroupNorm(1, channels)


def _head(
    num_features: int, *, dense: int, dropout: float, activation: Callable[[], nn.Module]
) -> nn.Sequential:
    steps: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    if dense > 0:
        steps["dense"] = nn.Linear(num_features, dense)
        steps["activation"] = activation()
    if dropout > 0:
        steps["dropout"] = Dropout(dropout)
    return nn.Sequential(steps)
