"""The number on the output of somebody else's script."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from pipeline.errors import CommandError
from pipeline.verification.foreign.reading import number_in_text, read_number
from pipeline.verification.foreign.template import fill


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("val_loss=0.5", 0.5),
        ("loss: 1.0 - val_loss: 0.25", 0.25),
        ("val_loss 9.0\nval_loss 3e-2\nsaved in 4.1 s", 0.03),
        ("│      val_loss       │   0.125   │", 0.125),
        ('{"train_loss": 9, "val_loss": -0.5, "epoch": 3}', -0.5),
        ("\x1b[32mval_loss\x1b[0m = .5.", 0.5),
        ("best/val_loss=9 old_val_loss=8", None),
        ("val_loss=0.5s", None),
        ("epoch 1\n 0.75 \n\n", 0.75),
        ("val_loss improved\nepoch 7 of 7", None),
    ],
)
def test_the_last_number_of_the_metric_counts(text: str, value: float | None) -> None:
    assert number_in_text("val_loss", text) == value


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("a.json", json.dumps([{"val": {"loss": 9}}, {"val": {"loss": 0.5}}]), 0.5),
        ("a.jsonl", '{"val.loss": 9}\n{"val.loss": 0.5}\n{"val.lo', 0.5),
        ("a.csv", "step;val.loss\n1;9\n2;0.5\n", 0.5),
        ("a.txt", "val.loss: 9\nval.loss: 0.5\n", 0.5),
    ],
)
def test_files_are_read_by_their_kind(name: str, text: str, value: float, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    found = read_number("val.loss", output="", files=[tmp_path / name], since=0)
    assert (found.value, found.source) == (value, name)


def test_two_files_that_disagree_are_named(tmp_path: Path) -> None:
    for name, value in (("a.json", 1), ("b.json", 2)):
        (tmp_path / name).write_text(json.dumps({"loss": value}))
    with pytest.raises(CommandError, match=r"several files \(a\.json, b\.json\)"):
        read_number("loss", output="", files=sorted(tmp_path.iterdir()), since=0)


def test_files_of_equal_names_are_told_apart(tmp_path: Path) -> None:
    texts = {"test/m.json": '{"loss": 1}', "train/m.json": '{"loss": 2}', "z/m.json": "{}"}
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    files = [tmp_path / name for name in texts]
    with pytest.raises(CommandError, match=r"several files \(test/m\.json, train/m\.json\)"):
        read_number("loss", output="", files=files, since=0)
    found = read_number("loss", output="", files=files[1:], since=0)
    assert (found.value, found.source) == (2, "train/m.json")


@pytest.mark.parametrize(
    ("name", "text"), [("a.csv", "loss;n\n0.5;1\n"), ("a.json", '{"loss": 0.5}')]
)
def test_the_mark_at_the_begin_of_a_file_is_no_part_of_a_name(
    name: str, text: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    assert read_number("loss", output="", files=[tmp_path / name], since=0).value == 0.5


UNREADABLE = {
    "cells.csv": f"id,text\n1,{'x' * 200_000}\n",
    "cache.db": "no database",
    "deep.json": "[" * 100_000 + "]" * 100_000,
    "digits.json": '{"loss": ' + "9" * 5000 + "}",
    "large.json": '{"loss": ' + "9" * 400 + "}",
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_of_another_form_holds_no_number(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(UNREADABLE[name])
    found = read_number("loss", output="loss=0.5", files=[tmp_path / name], since=0)
    assert (found.value, found.source) == (0.5, "its output")
    with pytest.raises(CommandError, match="gave no number"):
        read_number("loss", output="", files=[tmp_path / name], since=0)


def test_the_reason_why_a_file_holds_no_number_is_named(tmp_path: Path) -> None:
    (tmp_path / "cells.csv").write_text(UNREADABLE["cells.csv"])
    with pytest.raises(CommandError, match=r"; cells\.csv cannot be read \(field larger"):
        read_number("loss", output="", files=[tmp_path / "cells.csv"], since=0)


@pytest.mark.parametrize("text", ["loss=9\nloss: 1,234.5", "loss 0,25"])
def test_a_number_with_a_comma_is_not_guessed(text: str) -> None:
    with pytest.raises(CommandError, match="written with a comma"):
        number_in_text("loss", text)


def test_a_comma_behind_a_number_is_no_part_of_it() -> None:
    assert number_in_text("loss", "loss=1,234 \nloss=2,accuracy=3") == 2


def test_a_store_is_read_below_a_folder_with_odd_signs(tmp_path: Path) -> None:
    folder = tmp_path / "50%20 a#b?c"
    folder.mkdir()
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as store:
        store.execute("create table runs (run_uuid, start_time)")
        store.execute("create table metrics (run_uuid, key, value, is_nan, step, timestamp)")
        store.execute("insert into runs values ('a', 1000)")
        store.execute("insert into metrics values ('a', 'loss', 0.5, 0, 1, 1000)")
        store.commit()
    assert read_number("loss", output="", files=[folder / "mlflow.db"], since=0).value == 0.5


def test_only_names_in_braces_are_placeholders() -> None:
    filled = fill('{"lr": 1} {{lr}} {lr}', {"lr": "0.1 {seed}"})
    assert filled == '{"lr": 1} {lr} 0.1 {seed}'
