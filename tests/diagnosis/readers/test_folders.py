"""The folder of a run, folders of several runs, and event files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.diagnosis.readers import read_log
from pipeline.errors import DataError

TABLE = "epoch,loss,val_loss\n0,1.0,0.9\n1,0.6,0.8\n"
OTHER = "epoch,loss,val_loss\n0,7,7\n1,7,7\n"
EXPORT = "Wall time,Step,Value\n1600000000.0,0,{}\n1600000001.0,1,{}\n"


def written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def check(path: Path) -> str:
    reading = read_log(path)
    np.testing.assert_allclose(reading.history.curves["train/loss"], [1.0, 0.6])
    np.testing.assert_allclose(reading.history.curves["val/loss"], [0.9, 0.8])
    return reading.line


@pytest.mark.parametrize("name", ["metrics.csv", "results.csv", "history.csv", "anything.log"])
def test_the_folder_of_a_run_is_read_by_its_one_log(name: str, tmp_path: Path) -> None:
    written(tmp_path / name, TABLE)
    (tmp_path / "hparams.yaml").write_text("lr: 0.1\n")
    assert name in check(tmp_path)


def test_of_several_versions_the_newest_is_read_and_named(tmp_path: Path) -> None:
    written(tmp_path / "lightning_logs" / "version_9" / "metrics.csv", OTHER)
    written(tmp_path / "lightning_logs" / "version_10" / "metrics.csv", TABLE)
    assert "version_10, the newest of 2 runs" in check(tmp_path)
    assert "version_10, the newest of 2 runs" in check(tmp_path / "lightning_logs")


def test_of_several_runs_with_other_names_the_newest_by_time_is_read(tmp_path: Path) -> None:
    written(tmp_path / "b" / "results.csv", OTHER)
    written(tmp_path / "a" / "results.csv", TABLE)
    os.utime(tmp_path / "b", (1_000_000, 1_000_000))
    assert "a, the newest of 2 runs" in check(tmp_path)


def test_a_folder_of_exports_is_joined_by_step(tmp_path: Path) -> None:
    written(tmp_path / "run-train-tag-epoch_loss.csv", EXPORT.format(1.0, 0.6))
    written(tmp_path / "run-validation-tag-epoch_loss.csv", EXPORT.format(0.9, 0.8))
    check(tmp_path)


def test_a_folder_without_curves_or_with_several_logs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no curves"):
        read_log(tmp_path)
    written(tmp_path / "a.csv", TABLE)
    written(tmp_path / "b.csv", TABLE)
    with pytest.raises(DataError, match=r"several files \(a.csv, b.csv\)"):
        read_log(tmp_path)


# --- event files, written by TensorBoard itself ---------------------------------------------------

Points = Sequence[tuple[int, float]]


def write_events(folder: Path, tags: Mapping[str, Points], *, as_tensor: bool = False) -> Path:
    pytest.importorskip("tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    def value(tag: str, number: float) -> Summary.Value:
        if not as_tensor:
            return Summary.Value(tag=tag, simple_value=number)
        content = np.float32(number).tobytes()
        return Summary.Value(tag=tag, tensor=TensorProto(dtype=1, tensor_content=content))

    writer = EventFileWriter(str(folder))
    for tag, points in tags.items():
        for step, number in points:
            summary = Summary(value=[value(tag, number)])
            writer.add_event(Event(wall_time=1.6e9, step=step, summary=summary))
    writer.close()
    return sorted(folder.glob("*tfevents*"))[-1]


TRAIN, VAL = [(0, 1.0), (1, 0.6)], [(0, 0.9), (1, 0.8)]


@pytest.mark.parametrize("as_tensor", [False, True], ids=["PyTorch's", "Keras'"])
def test_event_files_are_read_without_tensorboard(as_tensor: bool, tmp_path: Path) -> None:
    tags = {"Loss/train": TRAIN, "Loss/val": VAL, "speed": [(0, 3.0)]}
    file = write_events(tmp_path, tags, as_tensor=as_tensor)
    check(tmp_path)
    check(file)


def test_the_parts_of_keras_stand_in_folders(tmp_path: Path) -> None:
    write_events(tmp_path / "train", {"epoch_loss": TRAIN})
    write_events(tmp_path / "validation", {"epoch_loss": VAL})
    check(tmp_path)


def test_a_later_session_takes_over_its_steps(tmp_path: Path) -> None:
    write_events(
        tmp_path,
        {"train_loss": [(0, 1.0), (1, 7.0), (2, 7.0), (1, 0.6)], "val_loss": [(0, 0.9), (1, 0.8)]},
    )
    check(tmp_path)


def test_validation_by_epoch_and_training_by_step_are_put_together(tmp_path: Path) -> None:
    steps = [(step, 1.0 if step < 50 else 0.6) for step in range(0, 100, 10)]
    write_events(tmp_path, {"train_loss": steps, "val_loss": VAL})
    assert "validation by epoch, training by step" in check(tmp_path)


def test_an_event_file_that_was_cut_is_read_as_far_as_it_is_whole(tmp_path: Path) -> None:
    file = write_events(tmp_path, {"val_loss": VAL, "train_loss": [*TRAIN, (2, 0.5)]})
    file.write_bytes(file.read_bytes()[:-5])
    check(file)


def test_event_files_without_scalars_are_refused(tmp_path: Path) -> None:
    write_events(tmp_path, {})
    with pytest.raises(DataError, match="no event file with scalars"):
        read_log(tmp_path)
