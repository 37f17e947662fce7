"""The networks against counts in closed form and against numpy with hand-set weights."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.errors import ConfigError
from pipeline.models import CNN, GRU, LSTM, MLP, RNN, ResNet, layers
from pipeline.models.dropout import Dropout
from pipeline.models.initialization import initialize

TEXTBOOK: dict[str, Any] = {
    "input_shape": (1, 28, 28),
    "num_classes": 10,
    "width": 32,
    "depth": 2,
    "convs_per_block": 1,
    "kernel_size": 3,
    "padding": "valid",
    "pooling": "max",
    "dense": 128,
    "dropout": 0.5,
    "block_dropout": 0.0,
    "normalization": "none",
    "activation": nn.ReLU,
}
PERCEPTRON: dict[str, Any] = {
    "input_shape": (1, 28, 28),
    "num_classes": 10,
    "width": 64,
    "depth": 2,
    "dropout": 0.2,
    "normalization": "none",
    "activation": nn.ReLU,
}
READER: dict[str, Any] = {
    "input_shape": (1, 28, 28),
    "num_classes": 10,
    "width": 16,
    "depth": 2,
    "dropout": 0.0,
    "normalization": "none",
    "bidirectional": False,
}
RESIDUAL: dict[str, Any] = {
    "input_shape": (1, 28, 28),
    "num_classes": 10,
    "width": 4,
    "depth": 2,
    "blocks_per_stage": 2,
    "dropout": 0.0,
    "block_dropout": 0.0,
    "normalization": "batch",
    "activation": nn.ReLU,
}


def num_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def names(network: nn.Module) -> list[str]:
    return [name for name, _ in layers(network)]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def arrays(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: parameter.detach().numpy() for name, parameter in module.named_parameters()}


# ---------------------------------------------------------------- every network

ALL_NETWORKS = {
    "softmax-regression": lambda: MLP(**PERCEPTRON | {"depth": 0}),
    "mlp": lambda: MLP(**PERCEPTRON),
    "mlp-batch": lambda: MLP(**PERCEPTRON | {"normalization": "batch"}),
    "mlp-layer": lambda: MLP(**PERCEPTRON | {"normalization": "layer", "activation": nn.PReLU}),
    "cnn": lambda: CNN(**TEXTBOOK),
    "cnn-batch-same-average": lambda: CNN(
        **TEXTBOOK | {"normalization": "batch", "padding": "same", "pooling": "average", "depth": 4}
    ),
    "cnn-layer-convs-no-dense": lambda: CNN(
        **TEXTBOOK
        | {"normalization": "layer", "convs_per_block": 2, "dense": 0, "block_dropout": 0.1}
    ),
    "resnet": lambda: ResNet(**RESIDUAL),
    "resnet-none-deep": lambda: ResNet(
        **RESIDUAL | {"normalization": "none", "depth": 3, "block_dropout": 0.1}
    ),
    "resnet-layer-gelu": lambda: ResNet(
        **RESIDUAL | {"normalization": "layer", "activation": nn.GELU}
    ),
    "rnn": lambda: RNN(**READER, nonlinearity="relu"),
    "lstm": lambda: LSTM(**READER | {"dropout": 0.3}),
    "gru-both-ways": lambda: GRU(**READER | {"bidirectional": True, "normalization": "layer"}),
}


@pytest.mark.parametrize("build", ALL_NETWORKS.values(), ids=ALL_NETWORKS)
def test_every_network_gives_logits_and_a_gradient_to_every_parameter(build: Any) -> None:
    torch.manual_seed(0)
    network = build()
    logits = network(torch.rand(5, 1, 28, 28))
    assert logits.shape == (5, 10) and logits.dtype == torch.float32
    nn.functional.cross_entropy(logits, torch.arange(5)).backward()
    without = [
        n for n, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()
    ]
    assert without == []


@pytest.mark.parametrize("build", ALL_NETWORKS.values(), ids=ALL_NETWORKS)
def test_layers_come_in_the_order_of_the_forward_pass(build: Any) -> None:
    network = build().eval()
    called: list[str] = []
    for name, layer in layers(network):
        assert dict(network.named_modules())[name] is layer
        layer.register_forward_hook(lambda *_, name=name: called.append(name))
    network(torch.rand(2, 1, 28, 28))
    assert called == names(network) and called[-1] == "output"


@pytest.mark.parametrize("build", ALL_NETWORKS.values(), ids=ALL_NETWORKS)
def test_one_image_does_not_look_at_the_others(build: Any) -> None:
    torch.manual_seed(0)
    network = build().eval()
    images = torch.rand(4, 1, 28, 28)
    with torch.no_grad():
        alone = torch.cat([network(image[None]) for image in images])
        # 1e-5: float32 sums in another order
        torch.testing.assert_close(network(images), alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "build",
    [
        lambda p: MLP(**PERCEPTRON | {"dropout": p}),
        lambda p: CNN(**TEXTBOOK | {"dropout": p}),
        lambda p: CNN(**TEXTBOOK | {"dropout": 0.0, "block_dropout": p}),
        lambda p: CNN(**TEXTBOOK | {"dropout": p, "dense": 0}),
        lambda p: ResNet(**RESIDUAL | {"dropout": p, "normalization": "layer"}),
        lambda p: ResNet(**RESIDUAL | {"block_dropout": p, "normalization": "layer"}),
        lambda p: GRU(**READER | {"dropout": p, "depth": 1}),
        lambda p: GRU(**READER | {"dropout": p}),
    ],
    ids=[
        *("mlp", "cnn-dense", "cnn-blocks", "cnn-no-dense", "resnet-head", "resnet-branches"),
        *("gru-head", "gru-deep"),
    ],
)
def test_dropout_acts_in_training_only_and_only_above_zero(build: Any) -> None:
    images = torch.rand(8, 1, 28, 28)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dropping, whole = build(0.5), build(0.0)
    assert not torch.equal(dropping(images), dropping(images))
    assert torch.equal(whole(images), whole(images))
    assert torch.equal(dropping.eval()(images), dropping(images))


# ---------------------------------------------------------------- mlp


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"depth": 0}, 7850),
        ({"depth": 1}, 784 * 64 + 64 + 650),
        ({"depth": 2}, 784 * 64 + 64 + 64 * 64 + 64 + 650),
        ({"depth": 1, "normalization": "layer"}, 784 * 64 + 64 + 2 * 64 + 650),
        ({"depth": 1, "normalization": "batch"}, 784 * 64 + 2 * 64 + 650),
        ({"depth": 0, "input_shape": (3, 32, 32)}, 30730),
    ],
    ids=["softmax-regression", "one", "two", "layer-norm", "batch-norm-without-bias", "colour"],
)
def test_mlp_has_the_parameters_of_the_closed_form(changes: dict[str, Any], expected: int) -> None:
    assert num_parameters(MLP(**PERCEPTRON | changes)) == expected


def test_mlp_computes_what_numpy_computes() -> None:
    network = MLP(
        input_shape=(1, 2, 2),
        num_classes=2,
        width=3,
        depth=1,
        dropout=0.0,
        normalization="none",
        activation=nn.ReLU,
    )
    weight = np.array([[1, -1, 0, 0], [0, 2, 0, -1], [0.5, 0.5, 0.5, 0.5]], dtype=np.float32)
    bias = np.array([0.5, -1, 0], dtype=np.float32)
    head = np.array([[1, 2, 3], [-1, 0, 1]], dtype=np.float32)
    with torch.no_grad():
        network.hidden.linear1.weight.copy_(torch.from_numpy(weight))
        network.hidden.linear1.bias.copy_(torch.from_numpy(bias))
        network.output.weight.copy_(torch.from_numpy(head))
        network.output.bias.copy_(torch.tensor([0.0, 10.0]))
    image = np.array([1, 2, 3, 4], dtype=np.float32)
    # hidden: 1 - 2 + 0.5 < 0 → 0;  4 - 4 - 1 < 0 → 0;  5
    logits = network(torch.from_numpy(image).view(1, 1, 2, 2))
    assert logits.tolist() == [[15.0, 15.0]]
    by_numpy = head @ np.maximum(weight @ image + bias, 0) + np.array([0, 10])
    assert logits[0].tolist() == by_numpy.tolist()


def test_mlp_names_its_layers() -> None:
    assert names(MLP(**PERCEPTRON)) == ["hidden.linear1", "hidden.linear2", "output"]


# ---------------------------------------------------------------- cnn


def test_cnn_is_the_textbook_network() -> None:
    network = CNN(**TEXTBOOK)
    assert num_parameters(network) == 225_034
    assert names(network) == ["blocks.block1.conv1", "blocks.block2.conv1", "head.dense", "output"]
    sequence = nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(1600, 128),
        nn.ReLU(),
        Dropout(0.5),
        nn.Linear(128, 10),
    )
    sequence.load_state_dict(
        dict(zip(sequence.state_dict(), network.state_dict().values(), strict=True))
    )
    images = torch.rand(4, 1, 28, 28)
    assert torch.equal(network.eval()(images), sequence.eval()(images))
    torch.manual_seed(7)
    dropped = network.train()(images)
    torch.manual_seed(7)
    assert torch.equal(dropped, sequence.train()(images))


@pytest.mark.filterwarnings(
    "ignore:Using padding='same' with even kernel:UserWarning"
)  # torch's, on speed
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # two convolutions of 5×5 without padding: 28 → 20 → 10; 8 channels
        (
            {"depth": 1, "convs_per_block": 2, "kernel_size": 5, "width": 8, "dense": 0},
            (25 * 8 + 8) + (25 * 64 + 8) + (8 * 100 * 10 + 10),
        ),
        # padded: 28 → 14 → 7 → 3; batch normalization: no bias, two numbers a channel
        (
            {"depth": 3, "padding": "same", "width": 4, "dense": 0, "normalization": "batch"},
            (9 * 4 + 8) + (9 * 4 * 8 + 16) + (9 * 8 * 16 + 32) + (16 * 9 * 10 + 10),
        ),
        # group normalization keeps the bias
        (
            {"depth": 1, "padding": "same", "width": 4, "dense": 0, "normalization": "layer"},
            (9 * 4 + 4 + 8) + (4 * 196 * 10 + 10),
        ),
        (
            {"depth": 1, "input_shape": (3, 7, 9), "width": 2, "dense": 5},
            56 + (2 * 2 * 3 * 5 + 5) + 60,
        ),
        ({"depth": 1, "kernel_size": 4, "padding": "same", "width": 2, "dense": 0}, 34 + 3920 + 10),
    ],
    ids=["convs", "batch", "layer", "oblong-colour", "even-kernel"],
)
def test_cnn_has_the_parameters_of_the_closed_form(changes: dict[str, Any], expected: int) -> None:
    network = CNN(**TEXTBOOK | changes)
    assert num_parameters(network) == expected
    shape = (TEXTBOOK | changes)["input_shape"]
    assert network(torch.rand(2, *shape)).shape == (2, 10)


def activated_first(network: CNN) -> nn.Sequential:
    """The same layers, each block's activation before its pooling, as the textbook writes them."""
    ordered: list[nn.Module] = []
    for block in [*network.blocks.children(), network.head]:
        steps = list(block.children())
        pools = [step for step in steps if isinstance(step, nn.MaxPool2d)]
        ordered += [step for step in steps if step not in pools] + pools
    return nn.Sequential(*ordered, network.output)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.SELU, nn.Tanh, nn.Sigmoid])
def test_pooling_before_a_rising_activation_changes_neither_outputs_nor_gradients(
    activation: Any,
) -> None:
    torch.manual_seed(0)
    fast = CNN(**TEXTBOOK | {"activation": activation, "dropout": 0.0}).double()
    plain = activated_first(copy.deepcopy(fast))
    kinds = [type(step) for step in fast.modules()]
    assert kinds.index(nn.MaxPool2d) < kinds.index(activation)
    kinds = [type(step) for step in plain.modules()]
    assert kinds.index(activation) < kinds.index(nn.MaxPool2d)
    images, labels = torch.rand(16, 1, 28, 28, dtype=torch.float64), torch.arange(16) % 10
    logits = [network(images) for network in (fast, plain)]
    for out in logits:
        nn.functional.cross_entropy(out, labels).backward()
    torch.testing.assert_close(*logits, rtol=1e-12, atol=1e-12)
    for (name, one), other in zip(fast.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-10, atol=1e-12, msg=name)


@pytest.mark.parametrize(
    "changes", [{"activation": nn.GELU}, {"activation": nn.SiLU}, {"pooling": "average"}], ids=str
)
def test_pooling_stays_last_where_the_order_matters(changes: dict[str, Any]) -> None:
    kinds = [type(step) for step in CNN(**TEXTBOOK | changes).modules()]
    pool = nn.AvgPool2d if changes.get("pooling") else nn.MaxPool2d
    assert kinds.index(changes.get("activation", nn.ReLU)) < kinds.index(pool)


@pytest.mark.parametrize(
    ("pooling", "expected"), [("max", 4.0), ("average", 2.5)], ids=["max", "average"]
)
def test_cnn_pools_as_told(pooling: str, expected: float) -> None:
    changes = {
        "input_shape": (1, 2, 2),
        "width": 1,
        "depth": 1,
        "kernel_size": 1,
        "dense": 0,
        "num_classes": 1,
    }
    network = CNN(**TEXTBOOK | changes | {"pooling": pooling}).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1.0 if parameter.ndim > 1 else 0.0)
    assert network(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])).item() == expected


@pytest.mark.parametrize("normalization", ["none", "batch", "layer"])
def test_cnn_gives_the_same_in_channels_last(normalization: str) -> None:
    torch.manual_seed(0)
    changes = {"normalization": normalization, "input_shape": (3, 28, 28)}
    network = CNN(**TEXTBOOK | changes).eval()
    images = torch.rand(4, 3, 28, 28)
    with torch.no_grad():
        plain = network(images)
        network = network.to(memory_format=torch.channels_last)
        other = network(images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(other, plain, rtol=1e-5, atol=1e-5)  # float32 sums in another order


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"depth": 4},
            ["model.depth: 4", "28×28", "block 4", "model.depth=3", "model.padding=same"],
        ),
        ({"depth": 5, "padding": "same"}, ["model.depth: 5", "28×28", "model.depth=4."]),
        (
            {"depth": 1, "input_shape": (1, 3, 28)},
            ["3×28", "model.kernel_size", "model.padding=same"],
        ),
    ],
    ids=["valid", "same", "first-block"],
)
def test_cnn_refuses_an_image_too_small_for_its_depth(
    changes: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        CNN(**TEXTBOOK | changes)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [{"depth": 3}, {"depth": 4, "padding": "same"}, {"depth": 1, "input_shape": (1, 4, 4)}],
    ids=["valid", "same", "smallest"],
)
def test_cnn_takes_the_deepest_that_the_refusal_names(changes: dict[str, Any]) -> None:
    shape = (TEXTBOOK | changes)["input_shape"]
    assert CNN(**TEXTBOOK | changes)(torch.rand(2, *shape)).shape == (2, 10)


# ---------------------------------------------------------------- residual


def residual_parameters(
    *, channels: int, width: int, depth: int, blocks: int, norm: str, classes: int, kernel: int
) -> int:
    """The closed form: stem, two 3×3 convolutions a block, a 1×1 one where channels change."""
    bias, per_norm = norm != "batch", 2 * (norm != "none")
    stem = width * (kernel**2 * channels + bias + per_norm)
    total, before = stem, width
    for stage in range(depth):
        now = width * 2**stage
        for _ in range(blocks):
            total += now * (9 * before + 9 * now + 2 * bias + 2 * per_norm)
            total += now * (before + bias + per_norm) if before != now else 0
            before = now
    return total + (before + 1) * classes


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize(
    ("shape", "kernel", "map_size"),
    [
        ((1, 28, 28), 3, 7),
        ((3, 32, 32), 3, 8),
        ((3, 48, 20), 3, 12),
        ((3, 96, 96), 7, 12),
        ((1, 112, 112), 7, 14),
        ((3, 224, 224), 7, 14),
    ],
    ids=lambda value: "x".join(map(str, value)) if isinstance(value, tuple) else str(value),
)
def test_resnet_has_the_parameters_of_the_closed_form_and_a_stem_for_each_size(
    shape: tuple[int, int, int], kernel: int, map_size: int, norm: str
) -> None:
    changes = {"input_shape": shape, "depth": 3, "num_classes": 20, "normalization": norm}
    network = ResNet(**RESIDUAL | changes)
    assert num_parameters(network) == residual_parameters(
        channels=shape[0], width=4, depth=3, blocks=2, norm=norm, classes=20, kernel=kernel
    )
    sizes: list[torch.Size] = []
    network.blocks.register_forward_hook(lambda _, __, maps: sizes.append(maps.shape))
    assert network(torch.rand(2, *shape)).shape == (2, 20)
    assert sizes[0][:3] == (2, 16, map_size)


@pytest.mark.parametrize("shape", [(1, 1, 120), (1, 2, 200), (3, 113, 1), (1, 3, 113), (1, 1, 49)])
def test_resnet_takes_an_image_of_one_line(shape: tuple[int, int, int]) -> None:
    network = ResNet(**RESIDUAL | {"input_shape": shape, "depth": 3, "num_classes": 5})
    assert network(torch.rand(2, *shape)).shape == (2, 5)


def test_resnet_of_ten_numbers_is_that_of_the_paper() -> None:
    """ResNet-20 for CIFAR-10 has 0.27 million parameters (He et al. 2016, table 6).

    The paper pads with zeros where the channels change; the 1×1 convolutions are 2,752 more.
    """
    paper = {"input_shape": (3, 32, 32), "width": 16, "depth": 3, "blocks_per_stage": 3}
    assert num_parameters(ResNet(**RESIDUAL | paper)) == 269_722 + (16 * 32 + 64) + (32 * 64 + 128)


def test_a_residual_block_adds_its_input_to_its_branch() -> None:
    changes = {"input_shape": (1, 2, 2), "width": 1, "depth": 1, "blocks_per_stage": 1}
    network = ResNet(**RESIDUAL | changes | {"num_classes": 1, "normalization": "layer"}).eval()
    block = network.blocks.stage1_block1
    with torch.no_grad():
        block.branch.norm2.weight.zero_()
        block.branch.norm2.bias.fill_(0.5)
    maps = torch.tensor([[[[1.0, -2.0], [3.0, -0.25]]]])
    assert block(maps).tolist() == [[[[1.5, 0.0], [3.5, 0.25]]]]


def test_without_normalization_deep_sums_keep_their_size() -> None:
    torch.manual_seed(0)
    changes = {"width": 16, "depth": 1, "blocks_per_stage": 20, "normalization": "none"}
    network = ResNet(**RESIDUAL | changes)
    initialize(network, name="he", generator=torch.Generator().manual_seed(0))
    maps = torch.randn(8, 16, 14, 14).relu()
    growth = (network.blocks(maps).square().mean() / maps.square().mean()).item()
    # (1 + 1/20)^20 is below e. Twenty plain sums would grow a million times.
    assert 0.5 < growth < 3 * 2.72
    with torch.no_grad():
        for block in network.blocks:
            block.scale = 1.0
        assert network.blocks(maps).square().mean() / maps.square().mean() > 1000


@pytest.mark.parametrize("side", [5, 8])
def test_a_shortcut_that_halves_takes_the_mean_of_four_pixels(side: int) -> None:
    changes = {"input_shape": (1, side, side), "width": 1, "depth": 2, "blocks_per_stage": 1}
    block = ResNet(**RESIDUAL | changes | {"normalization": "layer"}).blocks.stage2_block1
    maps = torch.rand(1, 1, side, side)
    found = block.shortcut[:1](maps)
    half = -(-side // 2)
    assert found.shape == (1, 1, half, half) and block(maps).shape == (1, 2, half, half)
    torch.testing.assert_close(found[0, 0, 0, 0], maps[0, 0, :2, :2].mean())
    torch.testing.assert_close(
        found[0, 0, -1, -1], maps[0, 0, 2 * half - 2 :, 2 * half - 2 :].mean()
    )


@pytest.mark.parametrize("normalization", ["none", "batch", "layer"])
def test_resnet_gives_the_same_in_channels_last(normalization: str) -> None:
    torch.manual_seed(0)
    changes = {"normalization": normalization, "input_shape": (3, 32, 32)}
    network = ResNet(**RESIDUAL | changes).eval()
    images = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        plain = network(images)
        network = network.to(memory_format=torch.channels_last)
        other = network(images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(other, plain, rtol=1e-5, atol=1e-5)  # float32 sums in another order
    # Of a 1×1 convolution with a stride, torch's gradients crash in this order.
    strided = [m for m in network.modules() if isinstance(m, nn.Conv2d) and max(m.stride) > 1]
    assert strided and all(max(m.kernel_size) > 1 for m in strided)


# ---------------------------------------------------------------- recurrent


@pytest.mark.parametrize(
    ("kind", "num_gates", "extra"),
    [(RNN, 1, {"nonlinearity": "tanh"}), (LSTM, 4, {}), (GRU, 3, {})],
    ids=["rnn", "lstm", "gru"],
)
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "both-ways"])
def test_recurrent_has_the_parameters_of_the_closed_form(
    kind: Any, num_gates: int, extra: dict[str, str], bidirectional: bool
) -> None:
    network = kind(**READER | {"bidirectional": bidirectional, "normalization": "layer"}, **extra)
    ways, width = 1 + bidirectional, 16
    first = ways * num_gates * (28 * width + width * width + 2 * width)
    second = ways * num_gates * (ways * width * width + width * width + 2 * width)
    assert num_parameters(network) == first + second + 2 * ways * width + (ways * width * 10 + 10)
    assert names(network) == ["recurrent", "output"]


def lstm_by_numpy(rows: np.ndarray, weights: dict[str, np.ndarray], suffix: str) -> np.ndarray:
    width = weights[f"weight_hh_{suffix}"].shape[1]
    hidden, cell = np.zeros(width), np.zeros(width)
    for row in rows:
        gates = (
            weights[f"weight_ih_{suffix}"] @ row
            + weights[f"bias_ih_{suffix}"]
            + weights[f"weight_hh_{suffix}"] @ hidden
            + weights[f"bias_hh_{suffix}"]
        )
        take, keep, new, show = np.split(gates, 4)
        cell = sigmoid(keep) * cell + sigmoid(take) * np.tanh(new)
        hidden = sigmoid(show) * np.tanh(cell)
    return hidden


@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "both-ways"])
def test_lstm_reads_the_rows_from_the_top(bidirectional: bool) -> None:
    torch.manual_seed(1)
    network = LSTM(
        **READER | {"input_shape": (2, 5, 3), "depth": 1, "bidirectional": bidirectional}
    )
    image = np.random.default_rng(0).random((2, 5, 3), dtype=np.float32)
    rows = np.concatenate([image[0], image[1]], axis=1)  # a step is the row of all channels
    weights = arrays(network.recurrent)
    hidden = lstm_by_numpy(rows, weights, "l0")
    if bidirectional:
        hidden = np.concatenate([hidden, lstm_by_numpy(rows[::-1], weights, "l0_reverse")])
    expected = (
        network.output.weight.detach().numpy() @ hidden + network.output.bias.detach().numpy()
    )
    logits = network(torch.from_numpy(image)[None])[0].detach().numpy()
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-6)  # float32 against float64


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_rnn_follows_elman(nonlinearity: Any) -> None:
    torch.manual_seed(1)
    network = RNN(**READER | {"input_shape": (1, 4, 3), "depth": 1}, nonlinearity=nonlinearity)
    image = np.random.default_rng(0).random((4, 3), dtype=np.float32)
    weights, hidden = arrays(network.recurrent), np.zeros(16)
    bend = np.tanh if nonlinearity == "tanh" else lambda x: np.maximum(x, 0)
    for row in image:
        bias = weights["bias_ih_l0"] + weights["bias_hh_l0"]
        hidden = bend(weights["weight_ih_l0"] @ row + weights["weight_hh_l0"] @ hidden + bias)
    expected = (
        network.output.weight.detach().numpy() @ hidden + network.output.bias.detach().numpy()
    )
    logits = network(torch.from_numpy(image)[None, None])[0].detach().numpy()
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-6)  # float32 against float64


def test_gru_follows_cho() -> None:
    torch.manual_seed(1)
    network = GRU(**READER | {"input_shape": (1, 4, 3), "depth": 1})
    image = np.random.default_rng(0).random((4, 3), dtype=np.float32)
    weights, hidden = arrays(network.recurrent), np.zeros(16)
    for row in image:
        x = np.split(weights["weight_ih_l0"] @ row + weights["bias_ih_l0"], 3)
        h = np.split(weights["weight_hh_l0"] @ hidden + weights["bias_hh_l0"], 3)
        reset, update = sigmoid(x[0] + h[0]), sigmoid(x[1] + h[1])
        hidden = (1 - update) * np.tanh(x[2] + reset * h[2]) + update * hidden
    expected = (
        network.output.weight.detach().numpy() @ hidden + network.output.bias.detach().numpy()
    )
    logits = network(torch.from_numpy(image)[None, None])[0].detach().numpy()
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-6)  # float32 against float64


def test_layer_normalization_stands_before_the_output() -> None:
    torch.manual_seed(1)
    network = GRU(**READER | {"normalization": "layer"})
    images = torch.rand(3, 1, 28, 28)
    _, state = network.recurrent(images[:, 0])
    last = state[-1].detach().numpy()
    centred = last - last.mean(axis=1, keepdims=True)
    normal = centred / np.sqrt(last.var(axis=1, keepdims=True) + 1e-5)
    expected = (
        normal @ network.output.weight.detach().numpy().T + network.output.bias.detach().numpy()
    )
    np.testing.assert_allclose(network(images).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_lstm_starts_with_open_forget_gates() -> None:
    network = LSTM(**READER | {"bidirectional": True})
    biases = dict(network.recurrent.named_parameters())
    for suffix in ("l0", "l0_reverse", "l1", "l1_reverse"):
        effective = (biases[f"bias_ih_{suffix}"] + biases[f"bias_hh_{suffix}"]).view(4, 16)
        assert (effective[1] == 1.0).all()
        assert (effective[[0, 2, 3]].abs() <= 2 / 16**0.5).all()  # torch's own, twice U(±1/√width)
