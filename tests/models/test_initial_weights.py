"""Weights of a file as the start of a training: taken whole, or refused with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.config import compose
from pipeline.errors import ConfigError
from pipeline.models.initial_weights import start_from

ROOT = Path(__file__).parents[2]
Change = Callable[[dict[str, Tensor]], object]


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def saved(path: Path, change: Change = lambda tensors: None) -> dict[str, Tensor]:
    tensors = dict(network().state_dict())
    change(tensors)
    save_file(tensors, path)
    return tensors


def test_all_weights_and_buffers_are_taken(tmp_path: Path) -> None:
    wanted = saved(tmp_path / "w", lambda t: t.update({"1.running_mean": torch.tensor([3.0, 4.0])}))
    taken = network()
    start_from(tmp_path / "w", taken, shown="w")
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in taken.state_dict().items())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.pop("0.bias"), r"0\.bias is nothing there, and float32 \[2\] in this network"),
        (lambda t: t.update(more=torch.zeros(1)), r"more is float32 \[1\] there, and nothing"),
        (lambda t: t.update({"0.bias": torch.zeros(5)}), r"0\.bias is float32 \[5\] there"),
        (lambda t: t.update({"0.bias": torch.zeros(2).half()}), r"0\.bias is float16 \[2\] there"),
        (lambda t: t["0.weight"].view(-1)[0].fill_(torch.nan), r"0\.weight has values that are"),
        (lambda t: t.update(more=torch.zeros(10**6)), r"has 4\d+ bytes, and this network needs"),
    ],
    ids=["missing", "further", "shape", "type", "nan", "size"],
)
def test_weights_that_do_not_fit_change_nothing(
    change: Change, reason: str, tmp_path: Path
) -> None:
    saved(tmp_path / "w", change)
    kept = network()
    before = {name: tensor.clone() for name, tensor in kept.state_dict().items()}
    with pytest.raises(ConfigError, match=rf"^initial_weights=w: .*{reason}.*leave it out\.$"):
        start_from(tmp_path / "w", kept, shown="w")
    assert all(torch.equal(tensor, before[name]) for name, tensor in kept.state_dict().items())


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="initial_weights=w: there is no such file"):
        start_from(tmp_path / "w", network(), shown="w")


def test_an_initialisation_beside_it_has_no_effect() -> None:
    with pytest.raises(ConfigError, match="init was set, but has no effect"):
        compose(["init=xavier", "initial_weights=w.safetensors"], root=ROOT)
