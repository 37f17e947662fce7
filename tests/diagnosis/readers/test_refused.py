"""What is no history is refused in one message: the value, the rule, the way out."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from pipeline.diagnosis.readers import read_log
from pipeline.diagnosis.readers.source import MAX_BYTES
from pipeline.errors import DataError

SPACY = (
    "ℹ Using CPU\n\n=========== Training pipeline ===========\nℹ Initial learn rate: 0.001\n"
    "E    #       LOSS TOK2VEC  LOSS NER  ENTS_F  SCORE \n"
    "---  ------  ------------  --------  ------  ------\n"
    "  0       0          0.00     39.33    0.00    0.00\n"
    "  0     200         33.10   1526.52   60.63    0.61\n"
    "  1     400         65.70    855.01   70.43    0.70\n"
    "✔ Saved pipeline to output directory\nout/model-last\n"
)
TEXTS = {
    "": "is empty. Give a file with the curves",
    "\n\n": "is empty",
    "epoch,loss\n": "a header and no row",
    "epoch,speed,heat\n0,1,2\n1,2,3\n": "no known curve among epoch, speed, heat",
    "epoch,val_los\n0,1\n1,2\n": "Did you mean val_loss",
    "epoch,loss\n0,1.0\n1,abc\n": "'abc', value 2 of the column, is not a number",
    "epoch,loss\n0,1.0,7\n1,2.0,8,9\n": "row 1 has 3 cells, and the header has 2",
    "epoch,loss,val_loss\n0,0,95,1,02\n1,0,77,0,85\n2,0,5,0,6\n": "header has 3",
    "epoch,val_accuracy\n0,512\n1,620\n": "neither a share from 0 to 1 nor a percentage",
    '{"loss": [1, "x"], "val_loss": [1, 2]}': "'x', value 2 of the column, is not a number",
    '{"loss": [1, 2': "not valid JSON",
    '{"a": 1, "b": {}}': "no known curve among a",
    "[" * 100_000: "not valid JSON",
    "Dear colleague,\nthe training went well.\n": "holds no curves",
    "Step,a - loss,b - loss\n0,1,2\n1,1,2\n": "it holds several runs (a - loss, b - loss)",
    "run_id,metric,step,value\nx1,loss,0,1\ny2,loss,0,1\n": "it holds 2 runs (x1, y2)",
    SPACY: "Name the columns: train_loss=<column>",
    "0 0.5 0.6\n1 0.4 0.5\n": "Name the columns: train_loss=<column>",
}


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:25]))
def test_a_text_without_curves_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(DataError, match=re.escape(TEXTS[text])) as caught:
        read_log(tmp_path / "log.csv")
    assert len(str(caught.value)) < 1_000


class _Trap:
    """Unpickling this would make the test fail."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return pytest.fail, ("the pickle was opened",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["history.json", "history.pkl", "log"])
def test_a_pickle_is_never_opened(protocol: int, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(pickle.dumps({"loss": [1.0, 2.0], "x": _Trap()}, protocol))
    with pytest.raises(DataError, match=r"never opened\. Write the numbers as JSON"):
        read_log(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("model.pt", b"PK\x03\x04data", "never opened"),
        ("history.npy", b"\x93NUMPY\x01\x00", "never opened"),
        ("model.h5", b"\x89HDF\r\n\x1a\n", "HDF5"),
        ("log.csv.gz", b"\x1f\x8b\x08\x00", "compressed"),
        ("curve.png", b"\x89PNG\r\n\x1a\n", "picture"),
        ("x.csv", b"\xff\xfe\x00", "is not text"),
        ("x.csv", bytes(range(256)), "is not text"),
    ],
)
def test_a_binary_file_is_refused_with_the_way_to_a_text(
    name: str, content: bytes, word: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=word):
        read_log(tmp_path / name)


def test_a_file_that_is_missing_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read \(No such file"):
        read_log(tmp_path / "none.csv")
    with (tmp_path / "large.csv").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(DataError, match="larger than 64 MB"):
        read_log(tmp_path / "large.csv")


def test_a_named_column_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("epoch,los,val\n0,1,1\n1,2,2\n")
    named = {"train/loss": "loss", "val/loss": "val"}
    with pytest.raises(DataError, match=r"train_loss=loss: .* Did you mean los\?"):
        read_log(tmp_path / "log.csv", named=named)
    found = read_log(tmp_path / "log.csv", named={"train/loss": "los", "val/loss": "VAL"}).history
    assert found.curves["train/loss"].tolist() == [1, 2]
    assert found.curves["val/loss"].tolist() == [1, 2]


def test_spacys_table_is_read_by_named_columns(tmp_path: Path) -> None:
    (tmp_path / "out.txt").write_text(SPACY)
    named = {"train/loss": "LOSS NER", "val/accuracy": "SCORE"}
    curves = read_log(tmp_path / "out.txt", named=named).history.curves
    assert curves["train/loss"].tolist() == [39.33, 1526.52, 855.01]
    assert curves["val/accuracy"].tolist() == [0.0, 0.61, 0.70]
