"""The order of images in memory: as fast as it can be, and the same answers."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline import cli, interruption
from pipeline.config import compose
from pipeline.data.store import load_card
from pipeline.models.inference import CONVOLVED, predict_logits
from pipeline.models.layout import bears_channels_last, convolves, fastest_layout
from pipeline.runs.network import untrained_network

SHAPE = (1, 12, 12)
TUTORIAL = """
from torch import nn
from torch.nn import functional as F

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3)
        self.fc = nn.Linear({inputs}, num_classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv(x)), 2)
        return self.fc(x.view(-1, {inputs}))
"""


class Viewed(nn.Module):
    """As tutorials write it: ``view`` needs the usual order."""

    def __init__(self, *, reshape: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(4 * 10 * 10, 3)
        self.reshape = reshape
        self.orders: list[bool] = []

    def forward(self, images: Tensor) -> Tensor:
        maps = self.drop(self.norm(self.conv(images)))
        self.orders.append(maps.is_contiguous(memory_format=torch.channels_last))
        flat = maps.reshape(len(maps), -1) if self.reshape else maps.view(len(maps), -1)
        return self.out(flat)


def images(number: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (number, *SHAPE), dtype=np.uint8)


@pytest.mark.parametrize("reshape", [False, True])
def test_a_module_of_ones_own_is_tried_and_stays_as_it_was(reshape: bool) -> None:
    network = Viewed(reshape=reshape)
    network.norm.eval()  # a frozen layer
    before = copy.deepcopy(network.state_dict())
    assert bears_channels_last(network, SHAPE) is reshape
    assert network.orders == [True]
    assert network.training and network.drop.training and not network.norm.training
    assert all(weight.is_contiguous() for weight in network.parameters())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("reshape", [False, True])
def test_answers_are_those_of_the_network_itself_in_the_order_that_it_bears(reshape: bool) -> None:
    network = Viewed(reshape=reshape).eval()
    pixels = images(2 * CONVOLVED + 3)
    wanted = network((torch.tensor(pixels).float() / 255 - 0.1) / 0.3).detach().numpy()
    network.orders.clear()
    found = predict_logits(network, pixels, mean=[0.1], std=[0.3])
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert network.orders == [True, *[reshape] * 3]  # the trial, then three batches
    assert all(weight.is_contiguous() for weight in network.parameters())  # files need it
    network(torch.zeros(2, *SHAPE)).sum().backward()  # no weight is left outside of autograd


@pytest.mark.parametrize(
    ("model", "layout"),
    [("cnn", torch.channels_last), ("resnet", torch.channels_last)]
    + [(name, torch.contiguous_format) for name in ("mlp", "lstm")],
    ids=str,
)
def test_our_own_networks_need_no_trial(
    project: Path, model: str, layout: torch.memory_format
) -> None:
    card = load_card(project / "data/processed/mnist")
    settings = compose([f"model={model}"], root=project).settings
    network = untrained_network(settings, card, root=project)
    calls = []
    network.register_forward_hook(lambda *_: calls.append(1))
    with fastest_layout(network, card.image_shape) as chosen:
        assert chosen == layout and not calls
    assert convolves(network) is (layout == torch.channels_last)


def test_a_signal_in_the_trial_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, "received", lambda: 15)
    with pytest.raises(RuntimeError, match="view size"):
        bears_channels_last(Viewed(), SHAPE)


def test_the_network_of_a_tutorial_trains(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`auto` chose the order of channels last for it, and `view` failed."""
    side = load_card(project / "data/processed/mnist").image_shape[1]
    inputs = 6 * ((side - 2) // 2) ** 2
    (project / "tutorial.py").write_text(TUTORIAL.format(inputs=inputs))
    (project / "conf" / "model" / "tutorial.yaml").write_text(
        "name: tutorial\n_target_: tutorial.Net\n"
    )
    monkeypatch.syspath_prepend(project)
    words = ["model=tutorial", "init=default", "allow_targets=[tutorial]", "trainer.max_epochs=1"]
    assert cli.call("train", [*words, "tracking=none"]) == 0, capsys.readouterr().err
    assert cli.call("evaluate", ["name=tutorial", "tracking=none"]) == 0
