"""A network's archive, written from the graph of one that was built alike."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.config import compose
from pipeline.models.build import Architecture, build_network
from pipeline.tracking import KeptGraphs

ROOT = Path(__file__).parents[2]
EXAMPLE = np.random.default_rng(0).normal(size=(4, 1, 12, 12)).astype(np.float32)
KINDS = {
    "mlp": ["model=mlp", "model.width=8"],
    "cnn": ["model=cnn", "model.width=4", "model.depth=1", "model.normalization=batch"],
    "resnet": ["model=resnet", "model.width=4", "model.depth=1"],
    "lstm": ["model=lstm", "model.width=8"],
    "rnn": ["model=rnn", "model.width=8"],
}


@pytest.fixture
def graphs(tmp_path: Path) -> KeptGraphs:
    (tmp_path / "data").mkdir()
    return KeptGraphs(tmp_path)


def network_of(words: list[str], *, seed: int) -> nn.Module:
    settings = compose(words, root=ROOT).settings
    built = Architecture(settings.model, settings.activation, settings.init, (1, 12, 12), 3)
    network = build_network(built, seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    for buffer in network.buffers():  # as after a training
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5, generator=generator)
    return network


def exported(network: nn.Module) -> Callable[[], bytes]:
    def export() -> bytes:
        shapes = [{0: torch.export.Dim.AUTO}]
        images = torch.from_numpy(EXAMPLE)
        graph = torch.export.export(network, (images,), dynamic_shapes=shapes)
        content = io.BytesIO()
        torch.export.save(graph, content)
        return content.getvalue()

    return export


def must_not() -> bytes:
    raise AssertionError("the graph is kept: nothing is to be exported")


def answers(archive: bytes) -> torch.Tensor:
    images = torch.from_numpy(np.concatenate([EXAMPLE, EXAMPLE[:1]]))
    with torch.no_grad():
        return torch.export.load(io.BytesIO(archive)).module()(images)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_that_is_built_alike_has_the_kept_graph_with_its_own_weights(
    graphs: KeptGraphs, kind: str
) -> None:
    first, second = (network_of(KINDS[kind], seed=seed) for seed in (0, 1))
    answered = answers(graphs.archive(first, EXAMPLE, exported(first)))
    with torch.no_grad():
        images = torch.from_numpy(np.concatenate([EXAMPLE, EXAMPLE[:1]]))
        wanted = [network(images) for network in (first, second)]
    torch.testing.assert_close(answered, wanted[0])

    answered = answers(graphs.archive(second, EXAMPLE, must_not))
    torch.testing.assert_close(answered, wanted[1])
    assert not torch.allclose(wanted[0], wanted[1])


@pytest.mark.parametrize(
    "other",
    [
        ["model=cnn", "model.width=5", "model.depth=1"],
        ["model=cnn", "model.width=4", "model.depth=1", "model.pooling=average"],
        ["model=cnn", "model.width=4", "model.depth=1", "activation=tanh"],
        ["model=cnn", "model.width=4", "model.depth=1", "activation=gelu"],
        ["model=cnn", "model.width=4", "model.depth=1", "model.padding=same"],
    ],
    ids=["wider", "pooling", "tanh", "gelu", "padding"],
)
def test_a_network_that_is_built_in_another_way_is_exported(
    graphs: KeptGraphs, other: list[str]
) -> None:
    first = network_of(["model=cnn", "model.width=4", "model.depth=1"], seed=0)
    graphs.archive(first, EXAMPLE, exported(first))
    second = network_of(other, seed=0)
    with pytest.raises(AssertionError, match="nothing is to be exported"):
        graphs.archive(second, EXAMPLE, must_not)
    with pytest.raises(AssertionError, match="nothing is to be exported"):
        graphs.archive(first, EXAMPLE + 1, must_not)


def test_a_network_with_frozen_weights_is_exported(graphs: KeptGraphs) -> None:
    network = network_of(KINDS["mlp"], seed=0)
    graphs.archive(network, EXAMPLE, exported(network))
    next(network.parameters()).requires_grad = False
    loaded = torch.export.load(io.BytesIO(graphs.archive(network, EXAMPLE, exported(network))))
    assert [weight.requires_grad for weight in loaded.parameters()].count(False) == 1


class Own(nn.Module):
    """A network of a person's own, whose code may change."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(144, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images.flatten(1))


def with_hook() -> nn.Module:
    network = network_of(KINDS["mlp"], seed=0)
    network.register_forward_hook(lambda module, inputs, output: 2 * output)
    return network


def with_function() -> nn.Module:
    network = network_of(KINDS["mlp"], seed=0)
    network.of_a_person = torch.tanh  # type: ignore[assignment]
    return network


def tied() -> nn.Module:
    first, second = nn.Linear(144, 144), nn.Linear(144, 144)
    second.weight = first.weight
    return nn.Sequential(nn.Flatten(), first, second).eval()


def with_buffer() -> nn.Module:
    network = network_of(KINDS["mlp"], seed=0)
    network.register_buffer("of_a_person", torch.ones(3), persistent=False)
    return network


@pytest.mark.parametrize("build", [Own, with_hook, with_function, with_buffer, tied])
def test_what_may_have_other_code_is_exported_each_time(
    graphs: KeptGraphs, build: Callable[[], nn.Module], tmp_path: Path
) -> None:
    assert graphs.archive(build(), EXAMPLE, lambda: b"archive") == b"archive"
    assert not (tmp_path / "data" / ".graphs").exists()


def test_an_archive_that_is_built_in_another_way_is_not_kept(
    graphs: KeptGraphs, tmp_path: Path
) -> None:
    network = network_of(KINDS["mlp"], seed=0)
    other = exported(network_of(KINDS["mlp"], seed=1))()  # its weights are not the network's
    assert graphs.archive(network, EXAMPLE, lambda: other) == other
    assert not (tmp_path / "data" / ".graphs").exists()


def test_a_damaged_graph_is_exported_anew(graphs: KeptGraphs, tmp_path: Path) -> None:
    network = network_of(KINDS["mlp"], seed=0)
    graphs.archive(network, EXAMPLE, exported(network))
    (kept,) = (tmp_path / "data" / ".graphs").iterdir()
    kept.write_bytes(kept.read_bytes()[:-1])
    with pytest.raises(AssertionError, match="nothing is to be exported"):
        graphs.archive(network, EXAMPLE, must_not)


def test_a_project_without_data_keeps_nothing(tmp_path: Path) -> None:
    network = network_of(KINDS["mlp"], seed=0)
    assert KeptGraphs(tmp_path).archive(network, EXAMPLE, lambda: b"archive") == b"archive"
    assert not list(tmp_path.iterdir())
