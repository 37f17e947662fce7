"""What the machine is good at, and what is kept from asking it in every step."""

from __future__ import annotations

import os

import pytest
import torch

from pipeline.training.hardware import without_search_for_cuda

NAME = "CUDA_VISIBLE_DEVICES"


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
