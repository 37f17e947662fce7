"""A training of another project, by the file that `Signals` wrote there."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from command_line import read_line
from own_module import dense, examples, measured
from pipeline.commands import diagnose as command
from pipeline.diagnosis import diagnose
from pipeline.diagnosis.readers import read_log
from pipeline.errors import ConfigError, DataError
from pipeline.evaluation.signal_file import read_signals
from pipeline.runs.foreign import history_of_signals


@pytest.fixture(scope="module")
def memorised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wide network that learns 64 noise images by heart; nothing carries over."""
    folder = tmp_path_factory.mktemp("project")
    torch.manual_seed(0)
    network = dense(16, 256, 256, 3, activation=nn.ReLU)
    noise = TensorDataset(
        torch.randn((64, 1, 4, 4), generator=torch.Generator().manual_seed(7)),
        torch.randint(3, (64,), generator=torch.Generator().manual_seed(8)),
    )
    measured(network, folder, examples(), epochs=40, val=noise)
    return folder / "signals" / "signals.safetensors"


def test_the_curves_are_the_means_over_the_measured_examples(memorised: Path) -> None:
    arrays = read_signals(memorised).arrays
    history = history_of_signals(memorised)
    assert history.epochs.tolist() == list(range(40))
    for part in ("train", "val"):
        losses = [float(row.mean()) for row in arrays[f"{part}/loss_per_example"][1:]]
        np.testing.assert_allclose(history.curves[f"{part}/cross_entropy"], losses, rtol=1e-6)
    assert history.curves["train/accuracy"][-1] == arrays["train/correct"][-1].mean()
    assert history.context.num_classes == 3
    counts = np.bincount(arrays["train/labels"]) / len(arrays["train/labels"])
    by_hand = -sum(share * math.log(share) for share in counts)
    assert history.context.prior_entropy == pytest.approx(by_hand)


def test_a_network_that_learned_by_heart_is_found_and_the_network_itself_is_judged(
    memorised: Path,
) -> None:
    found = diagnose(history_of_signals(memorised))
    assert found.verdict == "overfitting"
    assert "dead_units" not in [each.verdict for each in found.not_run]
    assert not found.findings[0].remedies  # nothing is known of its settings


def test_a_log_adds_its_curves(memorised: Path) -> None:
    log = read_log({"loss": [1.0] * 40, "val_loss": [2.0] * 40}).history
    joined = history_of_signals(memorised, log)
    assert joined.curves["train/loss"].tolist() == [1.0] * 40
    assert joined.curves["val/cross_entropy"][-1] > 1.0
    assert joined.context.train_curve == "evaluation"


def test_a_log_of_another_training_is_refused(memorised: Path) -> None:
    log = read_log({"loss": [1.0, 0.5], "val_loss": [1.0, 0.8]}).history
    with pytest.raises(DataError, match=r"has 40 epochs, 1 … 40, and the log has 2, 1 … 2"):
        history_of_signals(memorised, log)


@pytest.mark.parametrize("content", [None, b"no"], ids=["missing", "damaged"])
def test_a_file_that_is_none_names_the_way_out(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"signals=.*x\.safetensors.*Signals\(\) wrote"):
        history_of_signals(path)


def test_the_command_reads_the_file_alone(
    memorised: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.run(read_line("diagnose", f"signals={memorised}", "output=json")) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "overfitting"
    with pytest.raises(ConfigError, match=r"signals=.*: belongs to a training of another project"):
        read_line("diagnose", f"signals={memorised}", "name=mlp")
