"""history.csv and confusion.csv: what is written comes back, what is malformed is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import DataError
from pipeline.evaluation.tables import (
    read_confusion_csv,
    read_history_csv,
    write_confusion_csv,
    write_history_csv,
)
from pipeline.files import write_atomically
from pipeline.records import EpochRecord


def test_history_comes_back_bit_for_bit(tmp_path: Path) -> None:
    rows = [
        EpochRecord(epoch=0, step=10, metrics={"val/loss": 0.1 + 0.2, "train/loss": 5e-324}),
        EpochRecord(epoch=2, step=30, metrics={"val/loss": math.inf, "a,b": -1 / 3}),
        EpochRecord(epoch=3, step=40),
    ]
    write_history_csv(tmp_path / "made" / "history.csv", rows)
    assert read_history_csv(tmp_path / "made" / "history.csv") == rows
    first, second = (tmp_path / "made" / "history.csv").read_text().splitlines()[:2]
    assert first == 'epoch,step,"a,b",train/loss,val/loss'
    assert second == "0,10,,5e-324,0.30000000000000004"


def test_history_keeps_what_is_not_a_number(tmp_path: Path) -> None:
    write_history_csv(
        tmp_path / "h.csv", [EpochRecord(epoch=0, step=1, metrics={"train/loss": math.nan})]
    )
    assert math.isnan(read_history_csv(tmp_path / "h.csv")[0].metrics["train/loss"])


def test_history_without_epochs(tmp_path: Path) -> None:
    write_history_csv(tmp_path / "h.csv", [])
    assert read_history_csv(tmp_path / "h.csv") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "nothing at all", id="empty"),
        pytest.param("a,b\n", "header is 'a,b'", id="header"),
        pytest.param("epoch,step,x,x\n", "header", id="column twice"),
        pytest.param("epoch,step,x\n0,1\n", "line 2: it has 2 cells", id="short row"),
        pytest.param("epoch,step,x\n0,1,2\n1,2,low\n", "line 3: .*'low'", id="not a number"),
        pytest.param("epoch,step,x\n0.5,1,2\n", "line 2", id="half an epoch"),
        pytest.param("epoch,step,x\n1,1,2\n1,2,2\n", "epoch 1 follows epoch 1", id="epoch twice"),
        pytest.param('epoch,step,x\n0,1,"2\n', "CSV table", id="open quote"),
    ],
)
def test_malformed_history_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "h.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_history_csv(tmp_path / "h.csv")


def test_history_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="named 'step'"):
        write_history_csv(tmp_path / "h.csv", [EpochRecord(epoch=0, step=1, metrics={"step": 1.0})])
    with pytest.raises(DataError, match="epoch 0 follows epoch 1"):
        write_history_csv(
            tmp_path / "h.csv", [EpochRecord(epoch=1, step=1), EpochRecord(epoch=0, step=2)]
        )
    assert list(tmp_path.iterdir()) == []


def test_confusion_comes_back(tmp_path: Path) -> None:
    matrix, names = np.array([[5, 1], [0, 7]]), ("T-shirt/top", 'a "b", c')
    write_confusion_csv(tmp_path / "c.csv", matrix, class_names=names)
    result, found_names = read_confusion_csv(tmp_path / "c.csv")
    assert result.tolist() == matrix.tolist() and result.dtype == np.int64 and found_names == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("x,a,b\na,1,0\nb,0,1\n", "header", id="header"),
        pytest.param("truth,a,b\na,1,0\n", "rows are not named", id="row missing"),
        pytest.param("truth,a,b\nb,1,0\na,0,1\n", "rows are not named", id="other order"),
        pytest.param("truth,a,b\na,1,0\nb,0\n", "line 3: it has 2 cells", id="short row"),
        pytest.param("truth,a,b\na,1,0\nb,-1,1\n", "from 0 up", id="negative"),
        pytest.param("truth,a,b\na,1,0.5\nb,0,1\n", "from 0 up", id="half"),
    ],
)
def test_malformed_confusion_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_confusion_csv(tmp_path / "c.csv")


def test_confusion_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\[2, 2\].*3 class"):
        write_confusion_csv(tmp_path / "c.csv", np.eye(2, dtype=int), class_names=["a", "b", "c"])


@pytest.mark.parametrize(
    "read", [read_history_csv, read_confusion_csv], ids=["history", "confusion"]
)
def test_missing_and_binary_files_are_refused(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(DataError, match=r"no\.csv: missing"):
        read(tmp_path / "no.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="UTF-8"):
        read(tmp_path / "b.csv")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").write_text("old")
    with pytest.raises(OSError):
        write_atomically(target, b"new")  # a folder cannot be replaced by a file
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
    assert (target / "old").read_text() == "old"
