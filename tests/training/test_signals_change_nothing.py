"""Measuring changes nothing: weights, histories and resumed runs are the same, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from own_module import OwnModule, examples, silent_trainer
from pipeline.commands import train_job as stage
from pipeline.config import compose
from pipeline.data.store import load_prepared
from pipeline.evaluation.signal_file import read_signals
from pipeline.models.build import build_network
from pipeline.records import EpochRecord
from pipeline.runs.network import architecture
from pipeline.training.fit import FitResult, fit
from pipeline.training.signals import Signals
from trained_models import ON_ONE_THREAD

QUICK = ("tracking=none", *ON_ONE_THREAD, "data.fraction=0.2", "trainer.max_epochs=2")
SAMPLE = "signals.sample_size=200"
ARCHITECTURES: dict[str, Sequence[str]] = {
    "mlp": ("model=mlp", "model.width=16", "model.dropout=0.5", "model.normalization=batch"),
    "cnn": (
        *("model=cnn", "model.width=4", "model.dense=16", "model.normalization=batch"),
        *("augment=affine", "model.block_dropout=0.2"),
        *("trainer.precision=bf16", "trainer.channels_last=true"),
    ),
    "resnet": ("model=resnet", "model.width=4", "model.depth=2", "model.block_dropout=0.2"),
    "lstm": ("model=lstm", "model.width=8", "model.depth=2", "model.dropout=0.3"),
    "penalized_and_clipped": (
        *("model=mlp", "model.width=16", "penalty=elastic_net", "trainer.gradient_clip_norm=0.1"),
        *("optimizer=momentum", "optimizer.weight_decay=0.001"),
    ),
}


def trained(project: Path, *overrides: str) -> FitResult:
    settings, _ = compose([*QUICK, *overrides], root=project)
    prepared = load_prepared(project / "data" / "processed" / "mnist")
    network = build_network(architecture(settings, prepared.card), seed=settings.seed)
    return fit(network, prepared, settings=settings)


def without_times(result: FitResult) -> list[dict[str, float]]:
    return [{k: v for k, v in r.metrics.items() if "time" not in k} for r in result.history]


@pytest.mark.parametrize("overrides", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
def test_the_trained_weights_are_the_same_with_and_without_signals(
    project: Path, overrides: Sequence[str]
) -> None:
    on = trained(project, *overrides, SAMPLE)
    off = trained(project, *overrides, "signals=none")
    assert [len(r.signals.arrays["epochs"]) for r in (on, off)] == [3, 0]
    weights, others = on.network.state_dict(), off.network.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in others)
    assert without_times(on) == without_times(off)


class Drawn(TensorDataset):
    """Draws numbers from the global generators when it is read, as random transforms do."""

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        images, labels = self.tensors
        return images[index] + 0.1 * torch.randn(()) + float(np.random.rand()), labels[index]


def fine_tuned(folder: Path, callbacks: list[Any]) -> nn.Sequential:
    """A network with frozen batch statistics, trained on random transforms."""
    torch.manual_seed(0)
    np.random.seed(0)
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3)
    )
    network[2].eval()
    order = torch.Generator().manual_seed(3)
    data = Drawn(*examples().tensors)
    loader = DataLoader(data, batch_size=16, shuffle=True, generator=order)
    validation = DataLoader(examples(), batch_size=32)
    silent_trainer(folder, callbacks, epochs=2).fit(OwnModule(network), loader, validation)
    return network


def test_an_own_module_with_random_transforms_trains_as_without_signals(tmp_path: Path) -> None:
    on, off = fine_tuned(tmp_path, [Signals()]), fine_tuned(tmp_path, [])
    weights, others = on.state_dict(), off.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in others)


def test_modules_keep_their_mode(tmp_path: Path) -> None:
    network = fine_tuned(tmp_path, [Signals()])
    assert [m.training for m in (network, network[2], network[3])] == [True, False, True]


class Interrupted(BaseException):
    """A stand-in for a kill: not an `Exception`, so that it does not count as a failure."""


def interrupt(monkeypatch: pytest.MonkeyPatch, *, epoch: int) -> None:
    """Stop the training when this 0-based epoch is over."""
    line = stage.epoch_line

    def stopping(row: EpochRecord, *, max_epochs: int) -> str:
        if row.epoch == epoch:
            raise Interrupted
        return line(row, max_epochs=max_epochs)

    monkeypatch.setattr(stage, "epoch_line", stopping)


@pytest.mark.parametrize("name", ["mlp", "lstm"])
def test_a_resumed_run_writes_the_same_bytes(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    overrides = [*QUICK, SAMPLE, *ARCHITECTURES[name], "trainer.max_epochs=4"]
    config = compose(overrides, root=project)
    path = project / "results" / name / "signals.safetensors"
    stage.train(config, root=project, output=project)
    whole = path.read_bytes()
    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        interrupt(patched, epoch=2)
        stage.train(config, root=project, output=project)
    path.unlink()
    stage.train(config, root=project, output=project)
    assert path.read_bytes() == whole
    np.testing.assert_array_equal(read_signals(path).arrays["epochs"], [-1, 0, 1, 2, 3])


def test_a_checkpoint_holds_tensors_and_plain_values_only(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = compose([*QUICK, SAMPLE, *ARCHITECTURES["mlp"]], root=project)
    interrupt(monkeypatch, epoch=1)
    with pytest.raises(Interrupted):
        stage.train(config, root=project, output=project)
    (checkpoint,) = (project / "checkpoints").glob("*/last.ckpt")
    assert torch.load(checkpoint, weights_only=True)["epoch"] == 0
