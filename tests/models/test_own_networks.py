"""Networks as people write them: trained, written, loaded and asked as the pipeline's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from document import ROOT
from pipeline import cli
from pipeline.config import compose
from pipeline.models.build import Architecture, check_logits
from pipeline.models.features import features_of
from pipeline.models.initialization import initialize
from pipeline.models.saved import load_model

NETWORKS = """
import torch
from torch import nn

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.enter = nn.LazyLinear(16)
        self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 16)
        self.second.weight = self.first.weight
        self.out = nn.Linear(16, 10)

    def forward(self, x, scale=1.0):
        x = torch.relu(self.enter(x.flatten(1)))
        return self.out(self.second(torch.relu(self.first(x)))) * scale

class Twice(Tied):
    def __init__(self):
        super().__init__()
        self.second = self.first

class TimeFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(28, 64)
        self.out = nn.Linear(64, 10)

    def forward(self, x):
        x = nn.functional.interpolate(x, (28, 28))
        states, _ = self.lstm(x[:, 0].permute(1, 0, 2))
        return self.out(states[-1])

class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.enter = nn.LazyLinear(16)
        self.out = nn.Linear(16, 10)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(16))

    def forward(self, x):
        x = torch.relu(self.enter(x.flatten(1)))
        scores = x[:, :, None] * x[:, None, :] + self.mask
        return self.out((scores.softmax(2) @ x[:, :, None])[:, :, 0])

class Compiled(nn.Module):
    def __init__(self):
        super().__init__()
        net = nn.Sequential(nn.Flatten(), nn.LazyLinear(16), nn.ReLU(), nn.Linear(16, 10))
        self.net = torch.compile(net, backend="eager")

    def forward(self, x):
        return self.net(x)
"""


@pytest.mark.parametrize("name", ["Tied", "Twice", "TimeFirst", "Masked", "Compiled"])
def test_a_network_is_trained_written_and_loaded(
    name: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "written.py").write_text(NETWORKS)
    (project / "conf" / "model" / "own.yaml").write_text(f"name: own\n_target_: written.{name}\n")
    monkeypatch.syspath_prepend(project)
    words = ["model=own", "allow_targets=[written]", "trainer.max_epochs=1", "tracking=none"]
    assert cli.call("train", [*words, "name=own"]) == 0, capsys.readouterr().err
    assert cli.call("evaluate", ["name=own", "tracking=none"]) == 0, capsys.readouterr().err
    start = "initial_weights=models/own/model.safetensors"
    assert cli.call("train", [*words, "name=on", start]) == 0, capsys.readouterr().err
    if name == "Tied":
        network = load_model(project / "models" / "own").network
        assert network.second.weight is network.first.weight
    if name == "Compiled":
        assert (project / "models" / "own" / "familiarity.safetensors").is_file()


class TimeFirst(nn.Module):
    """Images ``[B, 1, 4, 4]`` as sequences of rows, the time steps first."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 8)
        self.lstm = nn.LSTM(8, 8)
        self.dense, self.out = nn.Linear(8, 6), nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        states, _ = self.lstm(self.embed(images[:, 0].permute(1, 0, 2)))
        return self.out(torch.relu(self.dense(states[-1])))


@pytest.mark.parametrize("number", [1, 4, 700])
def test_features_are_of_layers_with_one_row_an_image(number: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (number, 1, 4, 4), dtype=np.uint8)
    torch.manual_seed(0)
    network = TimeFirst().eval()
    found = features_of(network, images, mean=[0.1], std=[0.3])
    assert [part.shape for part in found] == [(number, 6), (number, 8)]
    network.dense = nn.Identity()  # type: ignore[assignment]
    network.out = nn.Linear(8, 3)
    found = features_of(network, images, mean=[0.1], std=[0.3])
    assert [part.shape for part in found] == [(number, 8)]


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
@pytest.mark.parametrize("norm", [nn.utils.weight_norm, parametrizations.weight_norm])
def test_normalized_weights_start_as_plain_ones(norm: object) -> None:
    plain, normed = nn.Linear(12, 9), norm(nn.Linear(12, 9))  # type: ignore[operator]
    for layer in (plain, normed):
        network = nn.Sequential(layer, nn.Linear(9, 3))
        initialize(network, name="he", generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(normed.weight, plain.weight)
    images = torch.rand(5, 12)
    torch.testing.assert_close(normed(images), plain(images))


class Frozen(nn.Module):
    """A body that stays in evaluation mode, as in transfer learning."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16)).eval()
        self.out = nn.Linear(16, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.out(self.body(images))


def test_building_leaves_the_modes_of_parts() -> None:
    architecture = Architecture(
        model=compose(["model=mlp"], root=ROOT).settings.model.model_copy(
            update={"target": "own.Frozen"}
        ),
        activation=compose([], root=ROOT).settings.activation,
        init=compose([], root=ROOT).settings.init,
        input_shape=(1, 4, 4),
        num_classes=10,
    )
    network = Frozen()
    check_logits(network, architecture)
    assert network.training and network.out.training
    assert not any(module.training for module in network.body.modules())
