"""What the machine is good at, and what is kept from asking it in every step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import pytorch_lightning as lightning
import torch

from pipeline.config import compose
from pipeline.records import DataCard
from pipeline.training import hardware
from pipeline.training.hardware import choose_hardware, sums_in, without_search_for_cuda

NAME = "CUDA_VISIBLE_DEVICES"


def card(*shape: int) -> DataCard:
    """Of 2,000 training images of a shape; of MNIST's without one."""
    return DataCard(
        name="some",
        class_names=("a", "b"),
        image_shape=shape or (1, 28, 28),
        mean=(0.0,),
        std=(1.0,),
        class_prior_entropy=0.7,
        class_counts={"train": (1500, 500), "val": (1, 1), "test": (1, 1)},
        sha256={"train": "", "val": "", "test": ""},
        split_seed=0,
        baselines={},
    )


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


LSTM = torch.nn.LSTM(28, 128)  # 80,896 weights


@pytest.mark.parametrize(
    ("network", "batch_size", "expected"),
    [
        (torch.nn.Linear(784, 1000), "32", "bf16"),  # 25 million products
        (torch.nn.Linear(784, 100), "32", "32"),
        (torch.nn.Linear(784, 100), "256", "bf16"),
        (torch.nn.Linear(784, 100), "all", "bf16"),  # 500 images
        (torch.nn.Linear(784, 40), "all", "32"),
        (torch.nn.Linear(784, 40), "9999", "32"),  # more than there are
        (torch.nn.Conv2d(1, 1, 3), "1", "bf16"),
        (LSTM, "128", "bf16"),
        (LSTM, "32", "32"),
    ],
    ids=str,
)
def test_networks_with_enough_to_do_are_computed_in_bfloat16(
    network: torch.nn.Module,
    batch_size: str,
    expected: str,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["trainer.accelerator=cpu", "data.fraction=0.25", f"data.batch_size={batch_size}"]
    settings = compose(words, root=project).settings
    for able, precision in ((True, expected), (False, "32")):
        monkeypatch.setattr(hardware, "_fast_bfloat16", lambda _, able=able: able)
        assert choose_hardware(network, settings, card=card()).precision == precision


def test_a_lightning_module_of_ones_own_keeps_float32_without_convolutions(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may predict numbers that need more than the three digits of bfloat16."""
    monkeypatch.setattr(hardware, "_fast_bfloat16", lambda _: True)
    settings = compose(["trainer.accelerator=cpu"], root=project).settings
    module = lightning.LightningModule()
    module.layer = torch.nn.Linear(784, 4000)
    assert choose_hardware(module, settings, card=card()).precision == "32"


@pytest.mark.parametrize(
    ("kernel", "stride", "expected"), [(1, 2, False), (1, 1, True), (3, 2, True)], ids=str
)
def test_a_strided_convolution_of_single_pixels_keeps_torch_from_channels_last(
    project: Path, kernel: int, stride: int, expected: bool
) -> None:
    """In that order and float32, torch 2.15 crashes in the gradients of such a convolution."""
    settings = compose(["trainer.accelerator=cpu"], root=project).settings
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, kernel, stride=stride))
    assert choose_hardware(network, settings, card=card(3, 8, 8)).channels_last is expected
