"""The callback in a person's own LightningModule, and its file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as lightning
from torch import nn
from torch.utils.data import DataLoader

from own_module import OwnModule, dense, examples, measured, silent_trainer
from pipeline.errors import DataError
from pipeline.evaluation.signal_file import read_signals, write_signals
from pipeline.training.signals import Signals


def small() -> nn.Sequential:
    return dense(16, 4, 3, activation=nn.ReLU)


def test_layers_and_calls_of_activations_come_in_the_order_of_the_forward_pass(
    tmp_path: Path,
) -> None:
    shared = nn.ReLU()
    convolutions = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3)
    network = nn.Sequential(
        convolutions[0], shared, convolutions[1], shared, nn.Flatten(), nn.Linear(24, 3)
    )
    record = measured(network, tmp_path)
    assert json.loads(record.metadata["layers"]) == ["network.0", "network.2", "network.5"]
    assert json.loads(record.metadata["activations"]) == [
        {"name": "network.1", "kind": "relu", "layer": "network.0"},
        {"name": "network.1:1", "kind": "relu", "layer": "network.2"},
    ]
    np.testing.assert_array_equal(record.arrays["units/num_units"], [4, 6])


def test_the_file_of_a_fit_is_its_record(tmp_path: Path) -> None:
    record = measured(small(), tmp_path, epochs=2)
    written = read_signals(tmp_path / "signals" / "signals.safetensors")
    assert written.metadata == record.metadata
    for name, array in record.arrays.items():
        np.testing.assert_array_equal(written.arrays[name], array, strict=True)
    np.testing.assert_array_equal(written.arrays["epochs"], [-1, 0, 1])


class FullDisk(lightning.Callback):
    """Fails when the second epoch starts."""

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        if trainer.current_epoch == 1:
            raise RuntimeError("full disk")


def test_a_checkpoint_of_many_moments_has_no_more_tensors(tmp_path: Path) -> None:
    signals = Signals()
    counts = set()
    for epochs in (1, 4):
        silent_trainer(tmp_path, [signals], epochs=epochs).fit(
            OwnModule(small()), DataLoader(examples(), batch_size=16)
        )
        state = signals.state_dict()["moments"]
        assert {len(values) for values in state.values()} == {epochs + 1}
        counts.add(len(state))
    assert len(counts) == 1


def test_the_state_of_signals_is_read_as_it_was_written(tmp_path: Path) -> None:
    signals, again, from_earlier = Signals(), Signals(), Signals()
    silent_trainer(tmp_path, [signals], epochs=2).fit(
        OwnModule(small()), DataLoader(examples(), batch_size=16)
    )
    state = signals.state_dict()
    again.load_state_dict(state)
    rows = [{k: v[i] for k, v in state["moments"].items()} for i in range(3)]
    from_earlier.load_state_dict({**state, "moments": rows})  # as an earlier version wrote it
    for other in (again, from_earlier):
        for name, array in signals.record().arrays.items():
            np.testing.assert_array_equal(other.record().arrays[name], array, strict=True)


def test_a_failing_run_leaves_the_moments_before_its_failure(tmp_path: Path) -> None:
    trainer = silent_trainer(tmp_path, [Signals(), FullDisk()], epochs=3)
    with pytest.raises(RuntimeError, match="full disk"):
        trainer.fit(OwnModule(small()), DataLoader(examples(), batch_size=16))
    arrays = read_signals(tmp_path / "signals" / "signals.safetensors").arrays
    np.testing.assert_array_equal(arrays["epochs"], [-1, 0])
    assert arrays["val/loss_per_example"].shape == (2, 0)


def test_equal_records_are_equal_bytes(tmp_path: Path) -> None:
    record, path = measured(small(), tmp_path), tmp_path / "a.safetensors"
    contents = set()
    for _ in range(8):  # safetensors writes the metadata in any order
        write_signals(path, record)
        contents.add(path.read_bytes())
    assert len(contents) == 1


def test_a_damaged_file_is_refused_with_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "mlp" / "signals.safetensors"
    write_signals(path, measured(small(), tmp_path))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match="Train again: pipeline train name=mlp"):
        read_signals(path)
