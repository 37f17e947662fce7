"""Predictions for pictures: the network's own view, the probabilities, and their familiarity."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.data.batches import standardisation
from pipeline.data.decode import MAX_FILE_BYTES
from pipeline.errors import DataError, ModelError
from pipeline.models.inference import predict_logits
from pipeline.models.saved import SavedModel, load_model
from pipeline.runs.prediction import find_pictures, network_views, predict, serving_request
from sealed_records import fields_of, write_fields
from small_mnist import load_images

TEST = load_images("test").images
NOISE = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)


@pytest.fixture
def trained(tiny_model: Path) -> Path:
    """A project with a tiny model ``mlp``, and eight test images in ``pictures/``."""
    (tiny_model / "pictures").mkdir()
    for i in range(8):
        Image.fromarray(TEST[i, 0]).save(tiny_model / "pictures" / f"{i}.png")
    return tiny_model


def forget_familiarity(folder: Path) -> None:
    """Make a model's folder that of an earlier version."""
    (folder / "familiarity.safetensors").unlink()
    fields = fields_of(folder / "model.json")
    del fields["familiarity_sha256"]
    write_fields(folder / "model.json", fields)


@pytest.fixture
def model(trained: Path) -> SavedModel:
    return load_model(trained / "models" / "mlp")


def test_the_network_sees_a_test_image_as_in_evaluation(trained: Path, model: SavedModel) -> None:
    views = network_views(find_pictures([trained / "pictures"]), model)
    np.testing.assert_array_equal(views, TEST[:8])


def test_raw_pictures_are_only_scaled(trained: Path, model: SavedModel) -> None:
    Image.fromarray(np.full((56, 56), 200, dtype=np.uint8)).save(trained / "grey.png")
    (view,) = network_views([trained / "grey.png"], model, raw=True)
    np.testing.assert_array_equal(view, np.full((1, 28, 28), 200))


def test_the_classes_and_probabilities_are_those_of_the_logits(
    trained: Path, model: SavedModel
) -> None:
    logits = predict_logits(model.network, TEST[:8], mean=model.mean, std=model.std)
    probabilities = torch.softmax(torch.from_numpy(logits).double(), dim=1).sort(descending=True)
    predictions = predict([trained / "pictures"], name="mlp", root=trained).predictions
    for row, prediction in enumerate(predictions):
        labels, shares = zip(*prediction.top, strict=True)
        assert labels == tuple(str(int(i)) for i in probabilities.indices[row, :3])
        assert shares == pytest.approx(probabilities.values[row, :3].tolist())


def test_entropy_is_a_share_of_that_of_guessing(trained: Path, model: SavedModel) -> None:
    logits = predict_logits(model.network, TEST[:1], mean=model.mean, std=model.std)
    entropy = torch.distributions.Categorical(logits=torch.from_numpy(logits)).entropy().item()
    (prediction,) = predict([trained / "pictures/0.png"], name="mlp", root=trained).predictions
    assert prediction.entropy == pytest.approx(entropy / math.log(10), rel=1e-5)


def test_noise_is_unfamiliar_and_test_images_are_not(trained: Path) -> None:
    Image.fromarray(NOISE).save(trained / "pictures" / "9.png")
    predictions = predict([trained / "pictures"], name="mlp", root=trained).predictions
    assert [p.unfamiliar for p in predictions] == [False] * 8 + [True]


def test_a_model_of_an_earlier_version_compares_nothing(trained: Path) -> None:
    forget_familiarity(trained / "models/mlp")
    predicted = predict([trained / "pictures"], name="mlp", root=trained)
    assert not predicted.compared
    assert {p.familiarity for p in predicted.predictions} == {None}


def test_the_training_data_is_not_needed(trained: Path) -> None:
    shutil.rmtree(trained / "data")
    Image.fromarray(NOISE).save(trained / "noise.png")
    assert predict([trained / "noise.png"], name="mlp", root=trained).predictions[0].unfamiliar


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_measure_is_refused_by_its_hash(trained: Path, damage: str) -> None:
    path = trained / "models/mlp/familiarity.safetensors"
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[:-8])
    with pytest.raises(
        ModelError, match=r"familiarity\.safetensors: .*pipeline train name=mlp"
    ) as error:
        predict([trained / "pictures"], name="mlp", root=trained)
    named = re.search(r"its settings \((.*?)\)", str(error.value))
    assert named and (trained / named[1]).is_file()


def test_a_serving_request_holds_the_standardised_views(trained: Path, model: SavedModel) -> None:
    request = serving_request([trained / "pictures" / "0.png"], name="mlp", root=trained)
    inputs = np.array(json.loads(request)["inputs"], dtype=np.float32)
    shift, scale = (tensor.numpy() for tensor in standardisation(model.mean, model.std))
    np.testing.assert_allclose(inputs, shift + scale * TEST[:1].astype(np.float32), rtol=1e-5)


def test_a_folder_gives_its_pictures_in_order_and_no_other_files(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in find_pictures([tmp_path])] == ["a.JPG", "b.png"]


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        find_pictures([tmp_path / "none.png"])


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no pictures"):
        find_pictures([tmp_path])


def test_a_model_that_is_not_there_is_refused(project: Path) -> None:
    with pytest.raises(ModelError, match="no such file, so there is no model"):
        predict([project / "a.png"], name="none", root=project)


def test_hidden_files_and_folders_are_no_pictures(trained: Path) -> None:
    pictures = trained / "pictures"
    (pictures / "._0.png").write_bytes(b"\x00\x05\x16\x07")
    (pictures / ".hidden.png").write_bytes(b"x")
    (pictures / "__MACOSX").mkdir()
    (pictures / "folder.png").mkdir()
    assert [p.name for p in find_pictures([pictures])] == [f"{i}.png" for i in range(8)]


@pytest.mark.skipif(os.name != "posix", reason="has neither links nor pipes")
def test_a_bad_picture_does_not_stop_its_folder(trained: Path) -> None:
    pictures = trained / "pictures"
    (pictures / "cut.png").write_bytes((pictures / "0.png").read_bytes()[:60])
    (pictures / "text.jpg").write_text("no picture")
    shutil.copyfile(pictures / "0.png", trained / "elsewhere.png")
    (pictures / "link.png").symlink_to(trained / "elsewhere.png")
    (pictures / "inner.png").symlink_to(pictures / "1.png")
    os.mkfifo(pictures / "pipe.png")
    predicted = predict([pictures], name="mlp", root=trained)
    assert [p.path.name for p in predicted.predictions] == [
        *(f"{i}.png" for i in range(8)),
        "inner.png",
    ]
    told = " ".join(predicted.left_out)
    assert len(predicted.left_out) == 4
    for words in ("cut.png", "text.jpg: not a sound", "outside of its folder", "no regular file"):
        assert words in told
    assert len(json.loads(serving_request([pictures], name="mlp", root=trained))["inputs"]) == 9


def test_a_named_picture_that_is_bad_and_a_folder_of_bad_ones_are_errors(trained: Path) -> None:
    bad = trained / "bad"
    bad.mkdir()
    (bad / "a.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"No picture can be used:\n.*a\.png: not a sound"):
        predict([bad], name="mlp", root=trained)
    with pytest.raises(DataError, match=r"a\.png: not a sound"):
        predict([trained / "pictures", bad / "a.png"], name="mlp", root=trained)


def test_a_file_too_large_is_not_opened(trained: Path) -> None:
    huge = trained / "huge.png"
    with huge.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)  # without content: it takes no room
    with pytest.raises(DataError, match="bytes; at most"):
        predict([huge], name="mlp", root=trained)
