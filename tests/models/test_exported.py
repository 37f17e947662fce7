"""Exported files against the networks that they come from: another runtime, equal answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.errors import ConfigError, ModelError
from pipeline.models import CNN, GRU, LSTM, MLP, RNN
from pipeline.models import exported as exporting
from pipeline.models.exported import (
    FORMATS,
    METADATA,
    OfPixels,
    check_packages,
    load_exported,
    write_exported,
)
from pipeline.models.inference import predict_logits

SHAPE = (1, 28, 28)
MEAN, STD = (0.13,), (0.31,)
METADATA_OF_TEST = {"name": "net", "class_names": ["a", "b"]}
# Both sides compute in float32, in another order. Logits of these networks are about 1.
TOLERANCE = 1e-4


def built(kind: type[nn.Module], **arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    return kind(input_shape=SHAPE, num_classes=10, **arguments).eval()


def network(name: str) -> nn.Module:
    cnn = {"width": 4, "depth": 2, "convs_per_block": 1, "kernel_size": 3, "padding": "same",
           "pooling": "max", "dense": 8, "dropout": 0.2, "block_dropout": 0.1,
           "normalization": "batch"}  # fmt: skip
    recurrent = {"width": 8, "depth": 1, "dropout": 0.1, "normalization": "none",
                 "bidirectional": False}  # fmt: skip
    if name == "mlp":
        return built(MLP, activation=nn.ReLU, width=8, depth=2, dropout=0.2, normalization="layer")
    if name == "cnn":
        return built(CNN, activation=nn.ReLU, **cnn)
    if name == "rnn":
        return built(RNN, **recurrent, nonlinearity="tanh")
    return built({"lstm": LSTM, "gru": GRU}[name], **recurrent)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["mlp", "cnn", "lstm", "gru", "rnn"])
def test_a_file_answers_as_its_network_for_any_number_of_images(
    name: str, form: str, tmp_path: Path
) -> None:
    made, path = network(name), tmp_path / f"net{FORMATS[form].suffix}"
    pixels = OfPixels(made, mean=MEAN, std=STD)
    write_exported(form, pixels, path, shape=SHAPE, metadata=METADATA_OF_TEST)
    answer = load_exported(form, path)
    images = np.random.default_rng(0).integers(0, 256, (70, *SHAPE), dtype=np.uint8)
    wanted = predict_logits(made, images, mean=MEAN, std=STD)
    assert np.abs(wanted).max() > 0.01
    for size in (1, 2, 70):
        np.testing.assert_allclose(answer(images[:size]), wanted[:size], atol=TOLERANCE, rtol=0)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]  # one file, without a companion


def test_both_formats_say_what_they_are(tmp_path: Path) -> None:
    import onnx

    pixels = OfPixels(network("mlp"), mean=MEAN, std=STD)
    for form in FORMATS:
        write_exported(form, pixels, tmp_path / form, shape=SHAPE, metadata=METADATA_OF_TEST)
    model = onnx.load(tmp_path / "onnx")
    onnx.checker.check_model(model, full_check=True)
    kept = {prop.key: prop.value for prop in model.metadata_props}
    assert (kept["name"], json.loads(kept["class_names"])) == ("net", ["a", "b"])
    (taken,) = model.graph.input
    assert taken.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    files = {METADATA: ""}
    torch.export.load(tmp_path / "pt2", extra_files=files)
    assert json.loads(files[METADATA]) == METADATA_OF_TEST


class DependsOnPixels(nn.Module):
    """Python's own branch on a value of the images."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) if float(images.sum()) > 0 else -images.flatten(1)


@pytest.mark.parametrize("form", FORMATS)
def test_a_network_that_cannot_be_exported_is_told_in_one_message(
    form: str, tmp_path: Path
) -> None:
    pixels = OfPixels(DependsOnPixels(), mean=MEAN, std=STD)
    with pytest.raises(ModelError, match=rf"format={form}: torch cannot export this network"):
        write_exported(form, pixels, tmp_path / "net", shape=SHAPE, metadata={})
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_named_with_the_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = exporting.find_spec
    monkeypatch.setattr(
        exporting, "find_spec", lambda name: None if name == "onnxscript" else real(name)
    )
    with pytest.raises(
        ConfigError, match=r"onnxscript is not installed. Install it: pip install onnx onnxscript"
    ):
        check_packages("onnx")
    check_packages("pt2")
