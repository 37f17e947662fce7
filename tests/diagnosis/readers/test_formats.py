"""One history in the dress of many tools: each gives the same curves, known from their formula."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.diagnosis.readers import Reading, read_log

FILES = Path(__file__).parents[2] / "fixtures" / "histories"
EPOCHS = np.arange(12)
TRAIN = 0.05 + 0.9 * 0.8**EPOCHS
VAL = TRAIN + 0.07 + 0.01 * EPOCHS
LOSSES = {"train/loss": TRAIN, "val/loss": VAL}
Curves = dict[str, Any]

FIXTURES: dict[str, Curves] = {
    "european_decimals.csv": LOSSES,
    "tabs.tsv": LOSSES,
    "byte_order_mark.csv": LOSSES,
    "wandb_export.csv": LOSSES,
    "mlflow_metrics.csv": LOSSES,
    "printed_dictionary.json": LOSSES,
    "trailing_comma.csv": LOSSES,
    "index_column.csv": LOSSES,
    "xgboost.json": LOSSES,
    "keras_console.txt": LOSSES
    | {"train/accuracy": np.full(12, 0.9), "val/accuracy": np.full(12, 0.9)},
    "fastai.csv": LOSSES | {"val/accuracy": 0.5 + 0.03 * EPOCHS},
    "deit.txt": LOSSES | {"val/accuracy": np.full(12, 0.601), "learning_rate": np.full(12, 1e-3)},
    "timm_summary.csv": LOSSES
    | {"val/accuracy": 0.6 + 0.01 * EPOCHS, "learning_rate": np.full(12, 0.1)},
    "percent_signs.csv": LOSSES
    | {"train/accuracy": 0.5 + 0.03 * EPOCHS, "val/accuracy": 0.48 + 0.03 * EPOCHS},
    "ultralytics_detection.csv": {
        "train/loss": 2 * TRAIN,
        "val/loss": 2 * VAL,
        "learning_rate": np.full(12, 0.01),
    },
    "loss_curve.csv": {"train/loss": TRAIN},
    "run-train-tag-loss.csv": {"train/loss": TRAIN},
}

TWO: Curves = {"train/loss": [1.0, 0.6], "val/loss": [0.9, 0.8]}
ACCURATE: Curves = TWO | {"train/accuracy": [0.5, 0.7], "val/accuracy": [0.4, 0.6]}

TEXTS: dict[str, tuple[str, Curves]] = {
    "percent, one curve as shares": (
        "epoch,loss,val_loss,acc,val_acc\n0,1.0,0.9,50.0,0.4\n1,0.6,0.8,70,0.6\n",
        ACCURATE,
    ),
    "decimal commas in quotes": (
        'epoch,loss,val_loss\n0,"1,0","0,9"\n1,"0,6","0,8"\n',
        TWO,
    ),
    "thousands": (
        'epoch,samples,loss,val_loss\n0,"60,000","1,000.5",0.9\n1,"120,000",0.6,0.8\n',
        TWO | {"train/loss": [1000.5, 0.6]},
    ),
    "spaces": ("epoch  train loss  val loss\n   1         1.0       0.9\n   2  0.6   0.8\n", TWO),
    "bars": (
        "| epoch | train_loss | val_loss |\n|---|---|---|\n| 1 | 1.0 | 0.9 |\n| 2 | 0.6 | 0.8 |\n",
        TWO,
    ),
    "fractions of epochs": ("epoch,loss,val_loss\n1/2,1.0,0.9\n2/2,0.6,0.8\n", TWO),
    "comments and blank lines": (
        "# seed 3\n\nepoch,loss,val_loss\n# warm-up\n0,1.0,0.9\n\n1,0.6,0.8\n\n",
        TWO,
    ),
    "the header is a comment": ("# epoch loss val_loss\n0 1.0 0.9\n1 0.6 0.8\n", TWO),
    "words before the table": (
        "Run of Monday\nseed: 3\nepoch,loss,val_loss\n0,1.0,0.9\n1,0.6,0.8\n",
        TWO,
    ),
    "an empty last row": ("epoch,loss,val_loss\n0,1.0,0.9\n1,0.6,0.8\n,,\n", TWO),
    "a ragged end": (
        "epoch,loss,val_loss\n0,1.0,0.9\n1,0.6,0.8\n2,0.5\n",
        TWO | {"train/loss": [1.0, 0.6], "val/loss": [0.9, 0.8]},
    ),
    "columns of words": (
        "epoch,time,model,loss,val_loss\n0,00:01,cnn,1.0,0.9\n1,00:02,cnn,0.6,0.8\n",
        TWO,
    ),
    "index without a name": ("loss val_loss\n0 1.0 0.9\n1 0.6 0.8\n", TWO),
    "two sessions": (
        "epoch,loss,val_loss\n0,9,9\n1,8,8\n2,7,7\n0,1.0,0.9\n1,0.6,0.8\n",
        TWO,
    ),
    "a repeated header": (
        "epoch,loss,val_loss\n0,9,9\n1,8,8\nepoch,loss,val_loss\n0,1.0,0.9\n1,0.6,0.8\n",
        TWO,
    ),
    "a repeated header without epochs": (
        "loss,val_loss\n9,9\n8,8\nloss,val_loss\n1.0,0.9\n0.6,0.8\n",
        TWO,
    ),
    "newest first": ("epoch,loss,val_loss\n1,0.6,0.8\n0,1.0,0.9\n", TWO),
    "not a number": (
        "epoch,loss,val_loss\n0,1.0,0.9\n1,NaN,Infinity\n",
        {"train/loss": [1.0, math.inf], "val/loss": [0.9, math.inf]},
    ),
    "validation every second epoch": (
        "epoch,loss,val_loss\n0,1.5,\n1,1.0,0.9\n2,0.8,\n3,0.6,0.8\n",
        TWO,
    ),
    "phases": (
        "epoch,phase,loss,acc\n0,train,1.0,0.5\n0,val,0.9,0.4\n1,train,0.6,0.7\n1,val,0.8,0.6\n",
        ACCURATE,
    ),
    "no header, one column": ("1.0\n0.6\n", {"train/loss": [1.0, 0.6]}),
    "validation alone": ("epoch,val_loss\n0,0.9\n1,0.8\n", {"val/loss": [0.9, 0.8]}),
    "regression": ("epoch,loss,mae,val_loss,val_mae\n0,1.0,2,0.9,2\n1,0.6,2,0.8,2\n", TWO),
    "an error as the loss": ("epoch,train_rmse,val_rmse\n0,1.0,0.9\n1,0.6,0.8\n", TWO),
    "ultralytics": (
        "  epoch,  train/loss,  metrics/accuracy_top1,  val/loss,  lr/pg0\n"
        "  1, 1.0, 0.4, 0.9, 0.1\n  2, 0.6, 0.6, 0.8, 0.1\n",
        TWO | {"val/accuracy": [0.4, 0.6], "learning_rate": [0.1, 0.1]},
    ),
    "lightning": (
        "epoch,step,train_loss_epoch,train_loss_step,val_loss\n"
        "0,49,,1.3,\n0,99,,,0.9\n0,99,1.0,,\n1,149,,0.8,\n1,199,,,0.8\n1,199,0.6,,\n",
        TWO,
    ),
    "losses by step are averaged": (
        "step,train_loss,val_loss\n1,1.5,\n2,1.0,\n3,0.5,0.9\n4,0.4,\n5,0.8,0.8\n",
        TWO,
    ),
    "steps that begin again": (
        "epoch,iter,loss,val_loss\n0,0,1.5,\n0,1,0.5,\n0,1,,0.9\n1,0,0.4,\n1,1,0.8,\n1,1,,0.8\n",
        TWO,
    ),
    "lightgbm": (
        json.dumps(
            {
                "training": {"multi_logloss": [1.0, 0.6], "multi_error": [0.5, 0.3]},
                "valid_1": {"multi_logloss": [0.9, 0.8], "multi_error": [0.6, 0.4]},
            }
        ),
        ACCURATE,
    ),
    "lists with others": (
        json.dumps({"loss": [1.0, 0.6], "val_loss": [0.9, 0.8], "seeds": [1], "name": "x"}),
        TWO,
    ),
    "lists of unequal length": (
        json.dumps({"train_losses": [1.5, 0.5, 0.4, 0.8], "val_losses": [0.9, 0.8]}),
        TWO,
    ),
    "one validation after fit": (
        json.dumps({"loss": [1.0, 0.6], "val_loss": [0.8]}),
        TWO | {"val/loss": [math.nan, 0.8]},
    ),
    "a number beside an empty list": (
        json.dumps({"loss": 1.0, "val_loss": []}),
        {"train/loss": [1.0]},
    ),
    "one number in each of two lists": (
        json.dumps({"loss": [None, 1.0], "val_loss": [0.9]}),
        {"train/loss": [1.0], "val/loss": [0.9]},
    ),
    "one validation as a number": (
        json.dumps({"loss": [1.0, 0.6], "val_loss": 0.8}),
        TWO | {"val/loss": [math.nan, 0.8]},
    ),
    "validation before training": (
        json.dumps({"loss": [1.0, 0.6], "val_loss": [2.0, 0.9, 0.8]}),
        {"train/loss": [math.nan, 1.0, 0.6], "val/loss": [2.0, 0.9, 0.8]},
    ),
    "nested": (
        json.dumps(
            {
                "train": {"loss": [1.0, 0.6], "acc": [50, 70]},
                "val": {"loss": [0.9, 0.8], "acc": [40, 60]},
            }
        ),
        ACCURATE,
    ),
    "json lines with other words": (
        'started\n{"epoch": 1, "loss": 1.0, "val_loss": 0.9}\n'
        '{"epoch": 2, "loss": 0.6, "val_loss": 0.8}\n',
        TWO,
    ),
    "numpy's numbers in a printed dictionary": (
        "{'loss': [np.float64(1.0), nan], 'val_loss': array([0.9, 0.8], dtype=float32)}",
        TWO | {"train/loss": [1.0, math.inf]},
    ),
    "the loss curve of scikit-learn": (
        json.dumps({"loss_curve_": [1.0, 0.6], "validation_scores_": [0.4, 0.6]}),
        {"train/loss": [1.0, 0.6], "val/accuracy": [0.4, 0.6]},
    ),
    "a trainer's table in a notebook": (
        "Step\tTraining Loss\tValidation Loss\n500\tNo log\t0.9\n1000\t0.600000\t0.8\n",
        TWO | {"train/loss": [math.nan, 0.6]},
    ),
    "line ends in quotes": ('epoch,notes,loss,val_loss\n0,"a\nb",1.0,0.9\n1,"c",0.6,0.8\n', TWO),
    "rows under another key": (
        json.dumps(
            {
                "seed": 3,
                "epochs": [
                    {"epoch": 1, "train_loss": 1.0, "val_loss": 0.9},
                    {"epoch": 2, "train_loss": 0.6, "val_loss": 0.8},
                ],
            }
        ),
        TWO,
    ),
    "epochs as keys": (
        json.dumps(
            {
                "epoch_1": {"train_loss": 1.0, "val_loss": 0.9},
                "epoch_2": {"train_loss": 0.6, "val_loss": 0.8},
            }
        ),
        TWO,
    ),
    "an error rate": (
        "epoch,train_loss,valid_loss,error_rate\n0,1.0,0.9,0.6\n1,0.6,0.8,0.4\n",
        TWO | {"val/accuracy": [0.4, 0.6]},
    ),
    "mmcv": (
        '{"env": "x"}\n{"mode": "train", "epoch": 1, "iter": 50, "loss": 1.5}\n'
        '{"mode": "train", "epoch": 1, "iter": 100, "loss": 0.5}\n'
        '{"mode": "val", "epoch": 1, "iter": 20, "loss": 0.9}\n'
        '{"mode": "train", "epoch": 2, "iter": 50, "loss": 0.6}\n'
        '{"mode": "val", "epoch": 2, "iter": 20, "loss": 0.8}\n',
        TWO,
    ),
    "a list of losses": ("[1.0, 0.6]", {"train/loss": [1.0, 0.6]}),
}


def check(reading: Reading, expected: Curves, *, digits: int = 12) -> None:
    curves = reading.history.curves
    assert set(curves) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(curves[name], values[: len(curves[name])], atol=10.0**-digits)


@pytest.mark.parametrize("file", FIXTURES)
def test_a_file_of_a_tool_gives_its_curves(file: str) -> None:
    check(read_log(FILES / file), FIXTURES[file], digits=4 if "console" in file else 12)


@pytest.mark.parametrize("case", TEXTS)
def test_a_text_as_people_have_it_gives_its_curves(case: str, tmp_path: Path) -> None:
    text, expected = TEXTS[case]
    path = tmp_path / "log.txt"
    path.write_text(text)
    check(read_log(path), expected)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", "\r\r\n"])
def test_every_encoding_and_line_ending_is_read(encoding: str, ending: str, tmp_path: Path) -> None:
    text = TEXTS["percent, one curve as shares"][0].replace("\n", ending)
    (tmp_path / "log.csv").write_bytes(text.encode(encoding))
    check(read_log(tmp_path / "log.csv"), ACCURATE)


@pytest.mark.parametrize("orient", ["columns", "records", "split", "index", "table"])
def test_every_form_of_a_pandas_frame_is_read(orient: Any, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"loss": [1.0, 0.6], "val_loss": [0.9, 0.8]})
    frame.to_json(tmp_path / "frame.json", orient=orient)
    check(read_log(tmp_path / "frame.json"), TWO)
    frame.to_csv(tmp_path / "frame.csv")
    check(read_log(tmp_path / "frame.csv"), TWO)
    check(read_log(frame.to_dict("list")), TWO)


def test_arrays_of_numpy_are_read_from_a_mapping() -> None:
    check(
        read_log({"loss": np.array([1.0, 0.6]), "val_loss": (np.float32(0.9), 0.8)}), TWO, digits=6
    )


def test_the_loss_of_a_real_lightning_log_is_the_mean_of_its_steps() -> None:
    """By another road: the cells of the file, summed by epoch with the csv module."""
    reading = read_log(FILES / "lightning_metrics.csv")
    rows = [line.split(",") for line in (FILES / "lightning_metrics.csv").read_text().split("\n")]
    names = rows[0] = [cell.strip() for cell in rows[0]]
    loss, epoch = names.index("train_loss"), names.index("epoch")
    of_first = [
        float(row[loss]) for row in rows[1:] if len(row) > 4 and row[epoch] == "0" and row[loss]
    ]
    assert reading.history.curves["train/loss"][0] == pytest.approx(np.mean(of_first))
    assert len(reading.history.epochs) == 5
    assert reading.history.context.train_by_step
    assert "test_loss" in reading.others


def test_a_trainer_state_gives_step_losses_and_not_the_one_mean() -> None:
    state = json.loads((FILES / "trainer_state.json").read_text())
    steps = [(row["step"], row["loss"]) for row in state["log_history"] if "loss" in row]
    ends = [row["step"] for row in state["log_history"] if "eval_loss" in row]
    first = np.mean([loss for step, loss in steps if step <= ends[0]])
    found = read_log(FILES / "trainer_state.json").history
    assert found.curves["train/loss"][0] == pytest.approx(first)
    assert len(found.epochs) == len(ends) == 3
    assert found.context.train_curve == "running_mean"


def test_the_single_mean_at_the_end_of_a_trainer_is_not_the_training_loss(tmp_path: Path) -> None:
    rows = [{"epoch": e / 2, "step": e, "loss": 1 / e} for e in range(1, 5)]
    path = tmp_path / "trainer_state.json"
    path.write_text(
        json.dumps({"log_history": [*rows, {"epoch": 2, "step": 4, "train_loss": 0.5}]})
    )
    np.testing.assert_allclose(
        read_log(path).history.curves["train/loss"], [1, 1 / 2, 1 / 3, 1 / 4]
    )


def test_a_long_log_by_step_becomes_blocks_of_means(tmp_path: Path) -> None:
    values = np.linspace(2.0, 1.0, 10_000)
    (tmp_path / "log.csv").write_text(
        "step,loss\n" + "\n".join(f"{i},{v}" for i, v in enumerate(values))
    )
    reading = read_log(tmp_path / "log.csv")
    expected = values.reshape(200, 50).mean(axis=1)
    np.testing.assert_allclose(reading.history.curves["train/loss"], expected)
    assert "200 blocks, each the mean of 50 values by step" in reading.line


def test_more_points_than_any_training_has_become_blocks(tmp_path: Path) -> None:
    values = np.linspace(2.0, 1.0, 10_000)
    rows = "\n".join(f"{v},{v + 1}" for v in values)
    (tmp_path / "log.csv").write_text(f"loss,val_loss\n{rows}\n")
    found = read_log(tmp_path / "log.csv").history.curves
    np.testing.assert_allclose(found["train/loss"], values.reshape(200, 50).mean(axis=1))
    np.testing.assert_allclose(found["val/loss"], found["train/loss"] + 1)


def test_a_training_that_is_lost_after_the_last_validation_keeps_its_end(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("epoch,loss,val_loss\n0,1.0,0.9\n1,0.6,0.8\n2,nan,\n")
    found = read_log(tmp_path / "log.csv").history.curves
    np.testing.assert_array_equal(found["train/loss"], [1.0, 0.6, math.inf])
    np.testing.assert_array_equal(found["val/loss"], [0.9, 0.8, math.nan])


def test_a_resumed_training_replaces_the_epochs_that_it_did_again(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("epoch,loss,val_loss\n0,1.0,0.9\n1,7,7\n2,7,7\n1,0.6,0.8\n")
    reading = read_log(tmp_path / "log.csv")
    check(reading, TWO)
    assert "resumed" in reading.line


@pytest.mark.parametrize(
    ("case", "mode"),
    [
        ("keras_console.txt", "running_mean"),
        ("fastai.csv", "running_mean"),
        ("timm_summary.csv", "running_mean"),
        ("loss_curve.csv", "running_mean"),
        ("xgboost.json", "evaluation"),
        ("mlflow_metrics.csv", "unknown"),
    ],
)
def test_it_is_known_how_the_training_curve_was_measured(case: str, mode: str) -> None:
    assert read_log(FILES / case).history.context.train_curve == mode


def test_one_line_says_what_was_read_as_what() -> None:
    assert read_log(FILES / "timm_summary.csv").line == (
        "read: train_loss → training loss, eval_loss → validation loss, eval_top1 in percent → "
        "validation accuracy, lr → learning rate; 12 epochs; not used: eval_top5"
    )


def test_the_epochs_are_those_of_the_log() -> None:
    found = read_log(FILES / "missing_epochs.csv").history
    assert found.epochs.tolist() == [0, 1, 2, 5, 6, 8, 9, 10, 11]
    np.testing.assert_allclose(found.curves["val/loss"], VAL[found.epochs])


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        (("1,234", "1,111"), "1,234 in loss is read as 1234: write 1.234 if"),
        (("1,234", "0,911"), ""),
        (("1,234.5", "1,111.0"), ""),
        (("1,234", "911"), ""),
    ],
)
def test_a_comma_that_may_be_of_thousands_is_told(
    cells: tuple[str, str], note: str, tmp_path: Path
) -> None:
    (tmp_path / "log.tsv").write_text(f"epoch\tloss\n1\t{cells[0]}\n2\t{cells[1]}\n")
    line = read_log(tmp_path / "log.tsv").line
    assert note in line
    assert ("is read as" in line) == bool(note)
