"""Networks, their activations, and how their weights begin."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.schema.base import (
    Built,
    CountOrZero,
    DropoutRate,
    Finite,
    NonNegative,
    Positive,
    Section,
)


class MLPSettings(Built):
    """Arguments of `pipeline.models.MLP`."""

    width: Annotated[int, Field(ge=1, le=65536)] = Field(description="units of a hidden layer")
    depth: Annotated[int, Field(ge=0, le=200)] = Field(description="hidden layers")
    dropout: DropoutRate = Field(description="probability that a unit is dropped")
    normalization: Literal["none", "batch", "layer"] = Field(
        description="normalization of a hidden layer"
    )


class CNNSettings(Built):
    """Arguments of `pipeline.models.CNN`."""

    width: Annotated[int, Field(ge=1, le=4096)] = Field(description="channels of the first block")
    depth: Annotated[int, Field(ge=1, le=10)] = Field(
        description="blocks; each doubles the channels"
    )
    convs_per_block: Annotated[int, Field(ge=1, le=10)] = Field(
        description="convolutions in one block"
    )
    kernel_size: Annotated[int, Field(ge=1, le=15)] = Field(
        description="height and width of a kernel"
    )
    padding: Literal["valid", "same"] = Field(description="valid shrinks the image, same keeps it")
    pooling: Literal["max", "average"] = Field(description="pooling at the end of a block")
    dense: CountOrZero = Field(description="units of the dense layer; 0 for none")
    dropout: DropoutRate = Field(description="probability that a unit is dropped before the output")
    block_dropout: DropoutRate = Field(
        description="probability that a channel is dropped after a block"
    )
    normalization: Literal["none", "batch", "layer"] = Field(
        description="normalization of a convolution"
    )


class ResNetSettings(Built):
    """Arguments of `pipeline.models.ResNet`."""

    width: Annotated[int, Field(ge=1, le=4096)] = Field(description="channels of the first stage")
    depth: Annotated[int, Field(ge=1, le=6)] = Field(
        description="stages; each doubles the channels"
    )
    blocks_per_stage: Annotated[int, Field(ge=1, le=50)] = Field(
        description="residual blocks in one stage"
    )
    dropout: DropoutRate = Field(description="probability that a unit is dropped before the output")
    block_dropout: DropoutRate = Field(
        description="probability that a channel is dropped in a block's branch"
    )
    normalization: Literal["none", "batch", "layer"] = Field(
        description="normalization of a convolution"
    )


class Recurrent(Built):
    """Arguments of `pipeline.models.LSTM` and `GRU`."""

    width: Annotated[int, Field(ge=1, le=16384)] = Field(description="units of the state")
    depth: Annotated[int, Field(ge=1, le=50)] = Field(description="layers")
    dropout: DropoutRate = Field(description="probability that a unit is dropped")
    normalization: Literal["none", "layer"] = Field(description="normalization of a layer")
    bidirectional: bool = Field(description="read the image also from bottom to top")


class RNNSettings(Recurrent):
    """Arguments of `pipeline.models.RNN`."""

    nonlinearity: Literal["tanh", "relu"] = Field(description="nonlinearity of the state")


class Activation(Built):
    """A parameterless activation of torch.nn."""


class LeakyReLU(Built):
    """Arguments of `torch.nn.LeakyReLU`."""

    negative_slope: Finite = Field(description="slope below zero")


class ScaledInit(Section):
    """He or Xavier."""

    name: Literal["he", "xavier"]
    distribution: Literal["normal", "uniform"] = Field(description="distribution of the weights")
    gain: Positive = Field(description="factor on the scale")
    bias: Finite = Field(description="value of every bias")


class GainInit(Section):
    """Orthogonal or LeCun."""

    name: Literal["orthogonal", "lecun"]
    gain: Positive = Field(description="factor on the scale")
    bias: Finite = Field(description="value of every bias")


class NormalInit(Section):
    """Every weight from one normal distribution."""

    name: Literal["normal"]
    std: NonNegative = Field(description="standard deviation of the weights")
    bias: Finite = Field(description="value of every bias")


class ZerosInit(Section):
    """All weights zero."""

    name: Literal["zeros"]
    bias: Finite = Field(description="value of every bias")


class DefaultInit(Section):
    """Left as torch made it."""

    name: Literal["default"]


Init = Annotated[
    ScaledInit | GainInit | NormalInit | ZerosInit | DefaultInit, Field(discriminator="name")
]
