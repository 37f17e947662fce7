"""The plain loops do what Lightning's own do, bit for bit, and leave to it what is not plain."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from tests.training.test_training import CNN, QUICK, history, same, train

from pipeline.evaluation.signal_file import read_signals
from pipeline.training import plain_loops
from pipeline.training.checkpoints import WholeFileIO

Steps = list[int]


@pytest.fixture
def by_lightning(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """The indices of the batches that Lightning's own loop trains."""
    steps: Steps = []
    advance = _TrainingEpochLoop.advance

    def counted(self: Any, data_fetcher: Any) -> None:
        advance(self, data_fetcher)
        steps.append(self.batch_idx)

    monkeypatch.setattr(_TrainingEpochLoop, "advance", counted)
    return steps


PLAIN: dict[str, Sequence[str]] = {
    "dropout": ("model.dropout=0.5",),
    "clipped": ("trainer.gradient_clip_norm=0.1",),
    "onecycle": ("schedule=onecycle",),
    "warmup": ("schedule=cosine", "schedule.warmup_epochs=0.5", "penalty.l2=1e-4"),
    "step": ("schedule=step", "schedule.every_epochs=1"),
    "plateau": ("schedule=plateau", "schedule.patience=0", "optimizer.learning_rate=0.05"),
    "convolutions": CNN,
    "bfloat16": (*CNN, "trainer.precision=bf16"),
    "recurrent": ("model=lstm", "model.width=8"),
    "steps": ("trainer.extra={max_steps: 17}",),
    "last batch alone": ("data.batch_size=all",),
}


@pytest.mark.parametrize("overrides", PLAIN.values(), ids=PLAIN.keys())
def test_a_plain_training_ends_as_by_lightnings_loops(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    by_lightning: Steps,
    overrides: Sequence[str],
) -> None:
    saved: list[dict[str, Any]] = []
    save = WholeFileIO.save_checkpoint

    def kept(self: Any, checkpoint: dict[str, Any], path: Any, **options: Any) -> None:
        saved.append(copy.deepcopy(checkpoint["loops"]))
        save(self, checkpoint, path, **options)

    monkeypatch.setattr(WholeFileIO, "save_checkpoint", kept)
    outcomes = []
    for name in ("plain", "whole"):
        weights = train(project, *QUICK, *overrides, f"name={name}", "trainer.max_epochs=2")
        signals = read_signals(project / "results" / name / "signals.safetensors")
        outcomes.append((weights, history(project, name), signals.arrays, saved.copy()))
        assert bool(by_lightning) == (name == "whole")
        saved.clear()
        monkeypatch.setattr(plain_loops, "is_plain", lambda trainer: False)
    (weights, rows, signals, loops), (other, other_rows, other_signals, other_loops) = outcomes
    assert same(weights, other)
    assert rows == other_rows
    assert same(
        *(
            {k: torch.from_numpy(v).nan_to_num() for k, v in arrays.items()}
            for arrays in (signals, other_signals)
        )
    )
    assert str(loops) == str(other_loops)


NOT_PLAIN: dict[str, Sequence[str]] = {
    "accumulated": ("trainer.extra={accumulate_grad_batches: 2}",),
    "logger": ("logger=csv",),
    "mean of the weights after each step": ("callbacks=ema",),
    "profiler": ("trainer.extra={profiler: simple}",),
}


@pytest.mark.parametrize("overrides", NOT_PLAIN.values(), ids=NOT_PLAIN.keys())
def test_a_training_that_needs_more_is_lightnings(
    project: Path, by_lightning: Steps, overrides: Sequence[str]
) -> None:
    train(project, *QUICK, *overrides, "trainer.max_epochs=1")
    assert by_lightning[0] == 0
    assert len(by_lightning) > 1


def test_the_mean_of_the_last_epochs_is_plain(project: Path, by_lightning: Steps) -> None:
    train(project, *QUICK, "callbacks=swa")
    assert not by_lightning
