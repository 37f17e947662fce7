"""``pipeline export``: what it prints, what it checks, and that no half file is left."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from command_line import read_line
from pipeline import cli
from pipeline.errors import ConfigError, ModelError
from pipeline.models.inference import predict_logits
from pipeline.models.saved import load_model
from pipeline.runs import exporting
from small_mnist import load_images


def test_an_onnx_file_answers_as_the_model(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnxruntime

    capsys.readouterr()
    assert cli.call("export", ["name=mlp"]) == 0
    agrees, sizes, takes = capsys.readouterr().out.splitlines()
    assert agrees.startswith("mlp: the file agrees with the network on 500 of 500 test images")
    assert "MB" in sizes and sizes.count(" ms") == 2
    assert takes == "takes uint8 pixels as they are, gives logits: exports/mlp.onnx"
    session = onnxruntime.InferenceSession(str(tiny_model / "exports/mlp.onnx"))
    kept = session.get_modelmeta().custom_metadata_map
    model, test = load_model(tiny_model / "models/mlp"), load_images("test")
    assert json.loads(kept["class_names"]) == list("0123456789")
    assert kept["weights_sha256"] == model.weights_sha256
    assert kept["inputs"] == "images [N, 1, 28, 28] uint8, 0 to 255, as in training"
    (found,) = session.run(None, {"images": test.images})
    wanted = predict_logits(model.network, test.images, mean=model.mean, std=model.std)
    np.testing.assert_allclose(found, wanted, atol=1e-3, rtol=0)
    assert [p.name for p in (tiny_model / "exports").iterdir()] == ["mlp.onnx"]


def test_a_file_that_answers_otherwise_is_not_kept(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tiny_model / "mlp.pt2").write_text("former")
    load = exporting.load_exported

    def wrong(form: str, path: Path) -> object:
        answer = load(form, path)
        return lambda images: answer(images) + 0.01

    monkeypatch.setattr(exporting, "load_exported", wrong)
    with pytest.raises(ModelError, match=r"logits differ by up to 0.01, and 0.001 is allowed"):
        cli.call("export", ["format=pt2", "file=mlp.pt2"])
    assert (tiny_model / "mlp.pt2").read_text() == "former"
    assert not list(tiny_model.glob(".*mlp.pt2"))


def test_torchscript_is_refused_with_its_successor() -> None:
    with pytest.raises(ConfigError, match=r"deprecated TorchScript.*format=pt2"):
        read_line("export", "format=torchscript")


@pytest.mark.parametrize("folder", [".", "exports"])
def test_a_folder_is_no_file_to_write(tiny_model: Path, folder: str) -> None:
    (tiny_model / "exports").mkdir(exist_ok=True)
    with pytest.raises(ConfigError, match=r"is a folder. Name a file: file=.*mlp.onnx"):
        cli.call("export", ["name=mlp", f"file={folder}"])


def test_a_pipe_is_not_replaced_by_the_file(tiny_model: Path) -> None:
    os.mkfifo(tiny_model / "pipe")
    with pytest.raises(ConfigError, match="is a device or a pipe"):
        cli.call("export", ["name=mlp", "format=pt2", "file=pipe"])
    assert (tiny_model / "pipe").is_fifo()


@pytest.mark.parametrize(
    ("words", "way_out"),
    [
        (["file=cnn.pt2"], "Write format=pt2, or name it cnn.onnx"),
        (["file=cnn.ONNX", "format=pt2"], "Write format=onnx, or name it cnn.pt2"),
    ],
)
def test_the_ending_of_another_format_is_refused(
    words: list[str], way_out: str, tiny_model: Path
) -> None:
    with pytest.raises(ConfigError, match=way_out):
        cli.call("export", ["name=mlp", *words])
    assert not list(tiny_model.glob("cnn.*"))
