"""Initial weights against the closed forms of their rules."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.errors import ConfigError
from pipeline.models import CNN, GRU, LSTM, MLP, RNN, layers
from pipeline.models.initialization import initialize, standard_deviation


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mlp() -> MLP:
    return MLP(
        input_shape=(1, 20, 20),
        num_classes=100,
        width=300,
        depth=2,
        dropout=0.0,
        normalization="layer",
        activation=nn.ReLU,
    )


def cnn() -> CNN:
    return CNN(
        input_shape=(3, 16, 16),
        num_classes=10,
        width=64,
        depth=2,
        convs_per_block=1,
        kernel_size=3,
        padding="same",
        pooling="max",
        dense=64,
        dropout=0.0,
        block_dropout=0.0,
        normalization="batch",
        activation=nn.ReLU,
    )


def reader(kind: Any, **extra: str) -> Any:
    return kind(
        input_shape=(1, 28, 50),
        num_classes=10,
        width=64,
        depth=2,
        dropout=0.0,
        normalization="none",
        bidirectional=True,
        **extra,
    )


def fans(layer: nn.Module) -> tuple[int, int]:
    if isinstance(layer, nn.Conv2d):
        area = math.prod(layer.kernel_size)
        return layer.in_channels * area, layer.out_channels * area
    assert isinstance(layer, nn.Linear)
    return layer.in_features, layer.out_features


STD = {
    "he": lambda fan_in, fan_out: math.sqrt(2 / fan_in),
    "xavier": lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out)),
    "lecun": lambda fan_in, fan_out: math.sqrt(1 / fan_in),
    "normal": lambda fan_in, fan_out: 0.02,
}


@pytest.mark.parametrize("gain", [1.0, 0.5])
@pytest.mark.parametrize(
    ("name", "distribution"),
    [(n, d) for n in ("he", "xavier", "lecun") for d in ("normal", "uniform")]
    + [("normal", "normal")],
)
@pytest.mark.parametrize("build", [mlp, cnn])
def test_weights_have_the_spread_of_the_rule(
    build: Any, name: Any, distribution: Any, gain: float
) -> None:
    network = build()
    initialize(
        network,
        name=name,
        distribution=distribution,
        gain=gain,
        std=0.02,
        bias=0.0,
        generator=generator(),
    )
    for _, layer in layers(network):
        weight = layer.weight.detach()
        expected = gain * STD[name](*fans(layer))
        n = (
            weight.numel()
        )  # a sample's standard deviation has a relative error of at most 1 / √(2n)
        assert weight.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * n))
        assert abs(weight.mean().item()) < 5 * expected / math.sqrt(n)
        furthest = weight.abs().max().item() / expected
        assert furthest <= math.sqrt(3) + 1e-6 if distribution == "uniform" else furthest > 2.5


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("he", math.sqrt(2 / 8)), ("xavier", math.sqrt(0.2)), ("lecun", math.sqrt(1 / 8))],
)
def test_standard_deviation_by_hand(rule: Any, expected: float) -> None:
    assert standard_deviation(rule, fan_in=8, fan_out=2) == pytest.approx(expected)


@pytest.mark.parametrize("build", [mlp, cnn])
def test_orthogonal_weights_are_orthogonal(build: Any) -> None:
    network = build()
    initialize(network, name="orthogonal", gain=2.0, bias=0.0, generator=generator())
    for _, layer in layers(network):
        matrix = layer.weight.detach().flatten(1)
        short = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
        # 1e-4: float32 sums of up to 1000 products
        torch.testing.assert_close(short @ short.T, 4 * torch.eye(len(short)), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "num_gates", "extra"),
    [(RNN, 1, {"nonlinearity": "tanh"}), (LSTM, 4, {}), (GRU, 3, {})],
    ids=["rnn", "lstm", "gru"],
)
def test_recurrent_matrices_are_made_gate_by_gate(
    kind: Any, num_gates: int, extra: dict[str, str]
) -> None:
    network = reader(kind, **extra)
    initialize(network, name="orthogonal", bias=0.0, generator=generator())
    gates = [g for g in network.recurrent.weight_hh_l1_reverse.detach().chunk(num_gates)]
    for gate in gates:
        torch.testing.assert_close(gate @ gate.T, torch.eye(64), rtol=0, atol=1e-5)  # float32
    assert len({gate.sum().item() for gate in gates}) == num_gates
    initialize(network, name="xavier", bias=0.0, generator=generator())
    weight = network.recurrent.weight_ih_l0.detach()  # 50 columns into gates of 64
    expected = math.sqrt(2 / (50 + 64))
    assert weight.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * weight.numel()))


def test_zeros() -> None:
    network = mlp()
    initialize(network, name="zeros", bias=0.0, generator=generator())
    assert not network(torch.rand(2, 1, 20, 20)).any()


@pytest.mark.parametrize("build", [mlp, cnn])
def test_biases_are_constant_but_the_output_starts_at_zero(build: Any) -> None:
    network = build()
    initialize(network, name="he", bias=0.25, generator=generator())
    for name, layer in layers(network):
        if layer.bias is not None:
            assert (layer.bias == (0.0 if name == "output" else 0.25)).all()


def test_recurrent_biases_add_up_to_the_constant_and_forget_gates_to_one() -> None:
    for network, num_gates in ((reader(GRU), 3), (reader(LSTM), 4)):
        initialize(network, name="xavier", bias=0.25, generator=generator())
        parts = dict(network.recurrent.named_parameters())
        for suffix in ("l0", "l1_reverse"):
            total = (parts[f"bias_ih_{suffix}"] + parts[f"bias_hh_{suffix}"]).view(num_gates, 64)
            for gate in range(num_gates):
                assert (total[gate] == (1.0 if num_gates == 4 and gate == 1 else 0.25)).all()


def test_normalization_layers_are_left_alone() -> None:
    network = cnn()
    norm = network.blocks.block1.norm1
    with torch.no_grad():
        norm.weight.fill_(3.0), norm.bias.fill_(2.0)
    initialize(network, name="zeros", bias=0.0, generator=generator())
    assert (norm.weight == 3).all() and (norm.bias == 2).all()


def test_default_leaves_what_torch_made() -> None:
    network = mlp()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    initialize(network, name="default", bias=0.5, generator=generator())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["he", "orthogonal", "normal"])
def test_only_the_generator_decides(name: Any) -> None:
    networks = []
    for global_seed, seed in ((1, 5), (2, 5), (2, 6)):
        torch.manual_seed(global_seed)
        network = reader(LSTM)
        state = torch.get_rng_state()
        initialize(network, name=name, std=0.1, bias=0.0, generator=generator(seed))
        assert torch.equal(state, torch.get_rng_state())
        networks.append(network.recurrent.weight_ih_l1)
    assert torch.equal(networks[0], networks[1]) and not torch.equal(networks[1], networks[2])


def test_normal_without_std_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"init\.std.*'normal'.*init=he"):
        initialize(mlp(), name="normal", bias=0.0, generator=generator())
