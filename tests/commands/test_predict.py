"""``pipeline predict``: its lines, its JSON, its picture, and wrong command lines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import read_line
from pipeline import cli
from pipeline.errors import ConfigError, DataError
from sealed_records import fields_of, write_fields
from small_mnist import load_images


@pytest.fixture
def pictures(tiny_model: Path) -> Path:
    """A folder with a test image and a picture of noise."""
    folder = tiny_model / "pictures"
    folder.mkdir()
    Image.fromarray(load_images("test").images[0, 0]).save(folder / "digit.png")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    return folder


def predict(*arguments: str) -> None:
    cli.call("predict", arguments)


def test_each_picture_has_a_line_and_a_strange_one_a_warning(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    predict("pictures", "name=mlp")
    digit, noise, last = capsys.readouterr().out.splitlines()
    assert digit.startswith("pictures/digit.png: ") and "WARNING" not in digit
    assert digit.endswith("where guessing is 100%)")
    assert noise.startswith("pictures/noise.png: ") and "WARNING: unlike the training data" in noise
    assert last == "how they looked to the network: results/mlp/predictions.png"


def test_json_has_an_object_a_picture(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    predict("pictures", "name=mlp", "output=json")
    digit, noise = json.loads(capsys.readouterr().out)
    assert digit["path"] == "pictures/digit.png"
    assert digit["top"][0] == [digit["class"], digit["probability"]]
    assert (digit["unlike_training_data"], noise["unlike_training_data"]) == (False, True)


def test_an_empty_picture_has_a_warning_and_white_ink_on_nothing_is_no_empty_one(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ink = np.asarray(Image.open(pictures / "digit.png").convert("L"))
    white = np.stack([np.full_like(ink, 255)] * 3 + [ink], axis=-1)
    Image.fromarray(white).save(pictures / "white.png")
    Image.new("RGBA", (28, 28)).save(pictures / "empty.png")
    capsys.readouterr()
    predict("pictures", "name=mlp", "output=json")
    found = {Path(each["path"]).stem: each for each in json.loads(capsys.readouterr().out)}
    assert {name for name, each in found.items() if each["blank"]} == {"empty"}
    assert found["white"]["top"] == found["digit"]["top"]
    predict("pictures/empty.png", "name=mlp")
    assert "WARNING: nothing can be seen" in capsys.readouterr().out


def test_the_picture_of_the_predictions_is_written(pictures: Path, tiny_model: Path) -> None:
    predict("pictures", "name=mlp")
    assert (tiny_model / "results/mlp/predictions.png").read_bytes().startswith(b"\x89PNG")


def test_inputs_are_the_request_for_a_server_and_draw_nothing(
    pictures: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    predict("pictures", "name=mlp", "output=inputs")
    assert np.shape(json.loads(capsys.readouterr().out)["inputs"]) == (2, 1, 28, 28)
    assert not (tiny_model / "results/mlp/predictions.png").exists()


def test_a_model_without_a_measure_of_familiarity_says_so(
    pictures: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny_model / "models/mlp/model.json"
    write_fields(path, {**fields_of(path), "familiarity_sha256": ""})
    predict("pictures", "name=mlp")
    assert "not compared with the training data" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "error", "word"),
    [
        ([], ConfigError, "paths: missing"),
        (["none.png", "name=mlp"], DataError, "there is no such file"),
        (["empty", "name=mlp"], DataError, "has no pictures"),
        (["text.png", "name=mlp"], DataError, "not a sound"),
        (["a.png", "name=none"], DataError, "nothing of this name is trained"),
        (["a.png", "output=xml"], ConfigError, "Known: inputs, json, text"),
        (["a.png", "raw=maybe"], ConfigError, "true or false"),
    ],
)
def test_bad_input_is_one_message_and_writes_nothing(
    tiny_model: Path, arguments: list[str], error: type[Exception], word: str
) -> None:
    (tiny_model / "empty").mkdir()
    (tiny_model / "text.png").write_text("no picture")
    before = sorted(tiny_model.rglob("*"))
    with pytest.raises(error, match=word):
        cli.call("predict", arguments)
    assert sorted(tiny_model.rglob("*")) == before


def test_a_path_in_a_folder_is_a_path_though_it_is_missing() -> None:
    assert read_line("predict", "photos/a=b.png").options.paths == (Path("photos/a=b.png"),)


def test_a_path_with_an_equals_sign_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("name=x.png").write_bytes(b"")
    options = read_line("predict", "name=x.png", "name=mlp").options
    assert (options.paths, options.name) == ((Path("name=x.png"),), "mlp")
