"""The residual network: a stem, stages of blocks with a shortcut, the mean over pixels, the output.

He, Zhang, Ren, Sun, Deep Residual Learning for Image Recognition, 2016.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from pipeline.models.dropout import Dropout

Normalization = Literal["none", "batch", "layer"]
# The longest side up to which the stem halves nothing, and that up to which it halves once.
WHOLE_UP_TO, HALF_UP_TO = 48, 112


class ResNet(nn.Module):
    """A stem, ``depth`` stages of ``blocks_per_stage`` residual blocks, and the output layer.

    The stem suits the image: up to 48 pixels a 3×3 convolution; up to 112 a 7×7 convolution with
    stride 2; above that the same and a 2×2 max pool (a side of one pixel stays).  So 32, 64, 96 and
    224 pixels give maps of 32, 32, 48 and 56.  Stage i = 0, 1, … has ``width · 2^i`` channels.
    Every stage but the first halves the map.  A block is `ResidualBlock`.  The mean over all pixels
    of the last map follows, so the number of parameters does not depend on the image's size; then
    dropout and the output.

    Without normalization the sum of n blocks would grow as 2^n.  The branches are then multiplied
    by 1/√n (Hayou et al., Stable ResNet, 2021).

    ``layer`` normalization is ``GroupNorm`` with one group: over channels and pixels together.
    A convolution before batch normalization has no bias: the normalization subtracts the mean.

    input_shape: ``(C, H, W)``.  width, depth, blocks_per_stage ≥ 1.
    dropout, block_dropout: 0 ≤ p < 1.  activation: called once for each use.
    """

    def __init__(
        self,
        *,
        input_shape: tuple[int, int, int],
        num_classes: int,
        width: int,
        depth: int,
        blocks_per_stage: int,
        dropout: float,
        block_dropout: float,
        normalization: Normalization,
        activation: Callable[[], nn.Module],
    ) -> None:
        super().__init__()
        channels, height, width_px = input_shape
        self.stem = _stem(
            channels,
            width,
            sides=(height, width_px),
            normalization=normalization,
            activation=activation,
        )
        scale = 1.0 if normalization != "none" else 1 / math.sqrt(depth * blocks_per_stage)
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        channels = width
        for stage in range(depth):
            for number in range(blocks_per_stage):
                blocks[f"stage{stage + 1}_block{number + 1}"] = ResidualBlock(
                    channels,
                    width * 2**stage,
                    stride=2 if stage > 0 and number == 0 else 1,
                    scale=scale,
                    dropout=block_dropout,
                    normalization=normalization,
                    activation=activation,
                )
                channels = width * 2**stage
        self.blocks = nn.Sequential(blocks)
        self.head = _head(dropout)
        self.output = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Turn images ``[B, C, H, W]`` float into logits ``[B, num_classes]``."""
        logits: Tensor = self.output(self.head(self.blocks(self.stem(images))))
        return logits


class ResidualBlock(nn.Module):
    """``activation(shortcut(x) + scale · branch(x))``.

    The branch: 3×3 convolution (with ``stride``), normalization, activation, 3×3 convolution,
    normalization, dropout of whole channels.  The shortcut is the input itself; where channels or
    size change, it is the mean of 2×2 pixels, a 1×1 convolution and normalization (He et al., Bag
    of Tricks for Image Classification, 2019, ResNet-D).  A 1×1 convolution with stride 2 would
    leave three of four pixels unused.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        stride: int,
        scale: float,
        dropout: float,
        normalization: Normalization,
        activation: Callable[[], nn.Module],
    ) -> None:
        super().__init__()
        self.scale = scale
        branch: OrderedDict[str, nn.Module] = OrderedDict()
        branch["conv1"] = _conv(in_channels, channels, 3, stride=stride, before=normalization)
        branch |= _norm("norm1", normalization, channels=channels)
        branch["activation1"] = activation()
        branch["conv2"] = _conv(channels, channels, 3, stride=1, before=normalization)
        branch |= _norm("norm2", normalization, channels=channels)
        if dropout > 0:
            branch["dropout"] = nn.Dropout2d(dropout)
        self.branch = nn.Sequential(branch)
        shortcut: OrderedDict[str, nn.Module] = OrderedDict()
        if stride != 1:
            shortcut["pool"] = nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False)
        if stride != 1 or in_channels != channels:
            shortcut["conv"] = _conv(in_channels, channels, 1, stride=1, before=normalization)
            shortcut |= _norm("norm", normalization, channels=channels)
        self.shortcut = nn.Sequential(shortcut)
        self.activation = activation()

    def forward(self, maps: Tensor) -> Tensor:
        """Turn ``[B, in_channels, H, W]`` into ``[B, channels, ⌈H / stride⌉, ⌈W / stride⌉]``."""
        branch = self.branch(maps)
        if self.scale != 1.0:
            branch = branch * self.scale
        result: Tensor = self.activation(self.shortcut(maps) + branch)
        return result


def _stem(
    in_channels: int,
    channels: int,
    *,
    sides: tuple[int, int],
    normalization: Normalization,
    activation: Callable[[], nn.Module],
) -> nn.Sequential:
    halves = max(sides) > WHOLE_UP_TO
    kernel, stride = (7, 2) if halves else (3, 1)
    steps: OrderedDict[str, nn.Module] = OrderedDict()
    steps["conv"] = _conv(in_channels, channels, kernel, stride=stride, before=normalization)
    steps |= _norm("norm", normalization, channels=channels)
    steps["activation"] = activation()
    if max(sides) > HALF_UP_TO:
        # The convolution leaves one pixel of a side of two
        steps["pool"] = nn.MaxPool2d(tuple(1 if side <= 2 else 2 for side in sides))
    return nn.Sequential(steps)


def _conv(
    in_channels: int, channels: int, kernel: int, *, stride: int, before: Normalization
) -> nn.Conv2d:
    return nn.Conv2d(
        in_channels,
        channels,
        kernel,
        stride=stride,
        padding=kernel // 2,
        bias=before != "batch",
    )


def _norm(name: str, normalization: Normalization, *, channels: int) -> dict[str, nn.Module]:
    if normalization == "none":
        return {}
    batch = normalization == "batch"
    return {name: nn.BatchNorm2d(channels) if batch else nn.GroupNorm(1, channels)}


def _head(dropout: float) -> nn.Sequential:
    steps: OrderedDict[str, nn.Module] = OrderedDict(pool=nn.AdaptiveAvgPool2d(1))
    steps["flatten"] = nn.Flatten()
    if dropout > 0:
        steps["dropout"] = Dropout(dropout)
    return nn.Sequential(steps)
