"""Signals of units, in closed form: dead units, saturation, and the first loss."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from own_module import dense, examples, measured
from pipeline.records import EpochRecord
from pipeline.training.signals import Signals


def test_the_first_loss_of_a_network_whose_last_layer_is_zero_is_ln_of_the_classes(
    tmp_path: Path,
) -> None:
    network = dense(16, 8, 10, activation=nn.ReLU)
    nn.init.zeros_(network[-1].weight)
    nn.init.zeros_(network[-1].bias)
    rows: list[EpochRecord] = []
    signals = Signals(observers=[rows.append])
    record = measured(network, tmp_path, examples(classes=10), signals=signals)
    np.testing.assert_allclose(record.arrays["val/loss_per_example"][0], math.log(10), rtol=1e-6)
    assert rows[0].epoch == -1
    assert rows[0].metrics["signals/initial_loss_to_ln_classes"] == pytest.approx(1, rel=1e-6)
    assert "signals/initial_loss_to_ln_classes" not in rows[1].metrics


def test_units_with_very_negative_biases_are_dead_and_others_are_not(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = dense(16, 8, 6, 3, activation=nn.ReLU)
    with torch.no_grad():
        network[1].bias[:2] = -1e3
        network[3].bias[:3] = -1e3
    record = measured(network, tmp_path, learning_rate=1e-6)
    np.testing.assert_array_equal(record.arrays["units/dead"], [[2 / 8, 3 / 6]] * 2)
    np.testing.assert_array_equal(record.arrays["units/num_units"], [8, 6])
    activations = json.loads(record.metadata["activations"])
    assert [a["layer"] for a in activations] == ["network.1", "network.3"]


@pytest.mark.parametrize(
    ("brightest", "dead"),
    [
        pytest.param(1.0, 3 / 4, id="silent_everywhere"),
        pytest.param(2.0, 2 / 4, id="active_at_one_position_of_one_image"),
    ],
)
def test_a_channel_is_dead_only_if_it_is_silent_at_every_position_of_every_image(
    tmp_path: Path, brightest: float, dead: float
) -> None:
    convolution = nn.Conv2d(1, 4, 1)
    network = nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    with torch.no_grad():
        convolution.weight.fill_(1.0)
        convolution.bias.copy_(torch.tensor([0.0, -1.5, -99.0, -1e6]))
    images, labels = examples(num=300).tensors
    images = images.clamp(-1, 1)
    images[299, 0, 3, 3] = brightest
    record = measured(network, tmp_path, TensorDataset(images, labels), learning_rate=0.0)
    assert record.arrays["units/dead"][0] == pytest.approx(dead)


@pytest.mark.parametrize(
    ("activation", "bias", "lost"),
    [
        pytest.param(nn.Tanh, 1.0, math.tanh(1.0) ** 2, id="tanh"),
        # 1 - 4 s (1 - s) = tanh²(x / 2)
        pytest.param(nn.Sigmoid, 2.0, math.tanh(1.0) ** 2, id="sigmoid"),
        pytest.param(nn.Tanh, 0.0, 0.0, id="tanh_in_the_middle"),
        pytest.param(nn.ReLU, 1.0, math.nan, id="relu_does_not_saturate"),
    ],
)
def test_saturation_is_the_lost_share_of_the_derivative(
    tmp_path: Path, activation: type[nn.Module], bias: float, lost: float
) -> None:
    network = dense(16, 8, 3, activation=activation)
    nn.init.zeros_(network[1].weight)
    with torch.no_grad():
        network[1].bias.fill_(bias)
        network[1].bias[:2] = 50.0
    arrays = measured(network, tmp_path, learning_rate=0.0).arrays
    expected = [[(2 * 1.0 + 6 * lost) / 8]] * 2
    np.testing.assert_allclose(arrays["units/saturation"], expected, atol=1e-6)
    share = math.nan if math.isnan(lost) else 2 / 8
    np.testing.assert_array_equal(arrays["units/saturated"], [[share]] * 2)
    np.testing.assert_allclose(arrays["units/activation_std"], [[0.0]] * 2, atol=1e-6)
