"""What the machine is good at, and what is kept from asking it in every step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from pipeline.config import compose
from pipeline.training.hardware import choose_hardware, sums_in, without_search_for_cuda

NAME = "CUDA_VISIBLE_DEVICES"


def test_sums_are_kept_in_a_type_that_the_device_has() -> None:
    kinds = {name: sums_in(torch.device(name)) for name in ("cpu", "cuda", "mps")}
    assert kinds == {"cpu": torch.float64, "cuda": torch.float64, "mps": torch.float32}


@pytest.mark.parametrize("before", [None, "0", ""], ids=["unset", "one", "none"])
def test_cards_are_hidden_while_the_processor_trains_and_shown_again(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(NAME, raising=False)
    if before is not None:
        monkeypatch.setenv(NAME, before)
    with pytest.raises(KeyError), without_search_for_cuda("cpu"):
        assert os.environ[NAME] == ""
        assert not torch.cuda.is_available()
        raise KeyError  # a training that fails
    assert os.environ.get(NAME) == before


def test_cards_stay_visible_where_they_train(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "1")
    with without_search_for_cuda("cuda"):
        assert os.environ[NAME] == "1"


@pytest.mark.parametrize(
    ("kernel", "stride", "expected"), [(1, 2, False), (1, 1, True), (3, 2, True)], ids=str
)
def test_a_strided_convolution_of_single_pixels_keeps_torch_from_channels_last(
    project: Path, kernel: int, stride: int, expected: bool
) -> None:
    """In that order and float32, torch 2.15 crashes in the gradients of such a convolution."""
    trainer = compose(["trainer.accelerator=cpu"], root=project).settings.trainer
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, kernel, stride=stride))
    assert choose_hardware(network, trainer, shape=(3, 8, 8)).channels_last is expected
