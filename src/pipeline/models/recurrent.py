"""Recurrent networks that read an image row by row, from the top."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.models.dropout import Dropout

Normalization = Literal["none", "layer"]


class _RowReader(nn.Module):
    """A recurrent layer over the rows of an image; its last hidden state gives the logits.

    An image ``[C, H, W]`` is a sequence of H steps with C·W features.  The last hidden state of the
    last layer (of both directions, where there are two) goes through normalization and dropout into
    the output layer.  Dropout also acts between the recurrent layers.

    depth ≥ 1: number of recurrent layers.  width ≥ 1: units of each, in each direction.
    dropout: 0 ≤ p < 1.
    """

    def __init__(
        self,
        layer: Callable[..., nn.RNNBase],
        *,
        input_shape: tuple[int, int, int],
        num_classes: int,
        width: int,
        depth: int,
        dropout: float,
        normalization: Normalization,
        bidirectional: bool,
        **options: str,
    ) -> None:
        super().__init__()
        channels, _, columns = input_shape
        self.num_directions = 2 if bidirectional else 1
        num_features = self.num_directions * width
        self.recurrent = layer(
            channels * columns,
            width,
            num_layers=depth,
            batch_first=True,
            # torch warns about dropout between layers where there is one layer
            dropout=dropout if depth > 1 else 0.0,
            bidirectional=bidirectional,
            **options,
        )
        self.norm = nn.LayerNorm(num_features) if normalization == "layer" else nn.Identity()
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(num_features, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Turn images ``[B, C, H, W]`` float into logits ``[B, num_classes]``."""
        rows = images.transpose(1, 2).flatten(2)
        _, state = self.recurrent(rows)
        hidden = state[0] if isinstance(state, tuple) else state  # an LSTM returns its cells too
        last = torch.cat(tuple(hidden[-self.num_directions :]), dim=1)
        logits: Tensor = self.output(self.dropout(self.norm(last)))
        return logits


class RNN(_RowReader):
    """Elman's network: ``h' = nonlinearity(W x + U h + b)``."""

    def __init__(
        self,
        *,
        input_shape: tuple[int, int, int],
        num_classes: int,
        width: int,
        depth: int,
        dropout: float,
        normalization: Normalization,
        bidirectional: bool,
        nonlinearity: Literal["tanh", "relu"],
    ) -> None:
        super().__init__(
            nn.RNN,
            input_shape=input_shape,
            num_classes=num_classes,
            width=width,
            depth=depth,
            dropout=dropout,
            normalization=normalization,
            bidirectional=bidirectional,
            nonlinearity=nonlinearity,
        )


class LSTM(_RowReader):
    """Long short-term memory; the forget gates start with a bias of 1, so that they start open.

    Jozefowicz, Zaremba and Sutskever (2015), An Empirical Exploration of Recurrent Network
    Architectures: the bias of 1 closes the gap between the LSTM and its best known variants.
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
        bidirectional: bool,
    ) -> None:
        super().__init__(
            nn.LSTM,
            input_shape=input_shape,
            num_classes=num_classes,
            width=width,
            depth=depth,
            dropout=dropout,
            normalization=normalization,
            bidirectional=bidirectional,
        )
        open_forget_gates(self.recurrent)


class GRU(_RowReader):
    """Gated recurrent units (Cho et al. 2014)."""

    def __init__(
        self,
        *,
        input_shape: tuple[int, int, int],
        num_classes: int,
        width: int,
        depth: int,
        dropout: float,
        normalization: Normalization,
        bidirectional: bool,
    ) -> None:
        super().__init__(
            nn.GRU,
            input_shape=input_shape,
            num_classes=num_classes,
            width=width,
            depth=depth,
            dropout=dropout,
            normalization=normalization,
            bidirectional=bidirectional,
        )


@torch.no_grad()
def open_forget_gates(recurrent: nn.RNNBase) -> None:
    """Set the forget gates' bias of an LSTM layer to 1; torch adds two biases, the other is 0."""
    for name, parameter in recurrent.named_parameters():
        if name.startswith("bias"):
            forget = parameter.chunk(4)[1]  # torch's order: input, forget, cell, output
            forget.fill_(1.0 if name.startswith("bias_ih") else 0.0)
