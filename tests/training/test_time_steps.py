"""The gradient that reaches each time step, against powers of a weight and finite differences."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from own_module import examples, measured


class LastState(nn.Module):
    """A recurrent layer over 16 pixels, whose last state gives the logits."""

    def __init__(self, layer: nn.RNNBase, *, from_output: bool = False) -> None:
        super().__init__()
        self.layer = layer
        self.head = nn.Linear(layer.hidden_size, 3)
        self.from_output = from_output

    def forward(self, images: Tensor) -> Tensor:
        output, state = self.layer(images.flatten(1).unsqueeze(2))
        hidden = state[0] if isinstance(state, tuple) else state
        return self.head(output[:, -1] if self.from_output else hidden[-1])


@pytest.mark.parametrize("from_output", [True, False])
@pytest.mark.parametrize("factor", [0.5, 1.1])
def test_the_gradient_of_a_linear_recurrence_is_a_power_of_its_weight(
    tmp_path: Path, factor: float, from_output: bool
) -> None:
    torch.manual_seed(0)
    layer = nn.RNN(1, 1, nonlinearity="relu", batch_first=True)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(0.0)
        layer.bias_ih_l0.fill_(1.0)  # positive, so that the ReLU is the identity
        layer.weight_hh_l0.fill_(factor)
    network = LastState(layer, from_output=from_output)
    norms = measured(network, tmp_path, learning_rate=0.0).arrays["time_step/gradient_norm"][0]
    expected = factor ** np.arange(15.0, -1.0, -1.0)
    np.testing.assert_allclose(norms / norms[-1], expected, rtol=1e-4)


def test_the_gradient_of_an_lstm_is_that_of_finite_differences(tmp_path: Path) -> None:
    """Moving the first state by ε changes the loss by ε times the gradient at the first step."""
    torch.manual_seed(0)
    layer = nn.LSTM(1, 1, batch_first=True)
    network = LastState(layer).double()
    images, labels = examples(num=1).tensors
    inputs = images.double().flatten(1).unsqueeze(2)

    @torch.no_grad()
    def loss(dh: float, dc: float) -> float:
        _, (h, c) = layer(inputs[:, :1])
        _, (last, _) = layer(inputs[:, 1:], (h + dh, c + dc))
        return float(functional.cross_entropy(network.head(last[-1]), labels))

    e = 1e-5
    slopes = (loss(e, 0) - loss(-e, 0)) / (2 * e), (loss(0, e) - loss(0, -e)) / (2 * e)
    record = measured(network.float(), tmp_path, examples(num=1), learning_rate=0.0)
    norm = record.arrays["time_step/gradient_norm"][0, 0]
    assert norm == pytest.approx(math.hypot(*slopes), rel=1e-3)
