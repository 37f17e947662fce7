"""Pictures from anywhere: brought to MNIST's form, predicted as evaluation does, warned of when strange."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from pipeline import cli
from pipeline.data.decode import decode_grey
from pipeline.data.digit_view import as_mnist, otsu
from pipeline.errors import ConfigError, DataError, ModelError
from pipeline.evaluation.familiarity import fit_familiarity
from pipeline.models.inference import predict_logits
from pipeline.models.saved import load_model
from pipeline.stages.predict import parse, view
from small_mnist import load_images

TEST = load_images("test")


def drawn(*, dark_on_light: bool = True, size: tuple[int, int] = (120, 90)) -> np.ndarray:
    """A stroke like a 1, off the middle."""
    image = np.full(size, 255 if dark_on_light else 0, dtype=np.uint8)
    image[20:80, 15:25] = 30 if dark_on_light else 225
    return image


@pytest.mark.parametrize("index", range(5))
def test_mnist_s_own_images_come_back_bit_for_bit(index: int) -> None:
    image = TEST.images[index, 0]
    np.testing.assert_array_equal(as_mnist(image), image)


@pytest.mark.parametrize("dark_on_light", [True, False])
@pytest.mark.parametrize("size", [(120, 90), (300, 100), (84, 28)])
def test_a_drawn_digit_is_white_on_black_in_the_middle(dark_on_light: bool, size: tuple[int, int]) -> None:
    found = as_mnist(drawn(dark_on_light=dark_on_light, size=size))
    assert found.shape == (28, 28) and found.dtype == np.uint8 and found.max() == 255
    assert not found[0].any() and not found[:, 0].any()
    centre = ndimage.center_of_mass(found)
    assert centre == pytest.approx((13.5, 13.5), abs=0.75)
    rows = np.flatnonzero(found.max(1) > 127)
    assert 18 <= rows[-1] - rows[0] + 1 <= 21  # the 20 pixels that MNIST's digits are high


def test_polarity_makes_no_difference() -> None:
    np.testing.assert_allclose(as_mnist(drawn()).astype(int), as_mnist(255 - drawn()).astype(int), atol=1)


def test_what_is_in_form_stays_in_form() -> None:
    once = as_mnist(drawn())
    np.testing.assert_array_equal(as_mnist(once), once)


@pytest.mark.parametrize("level", [0, 100, 255])
def test_a_blank_picture_has_no_ink(level: int) -> None:
    assert not as_mnist(np.full((60, 40), level, dtype=np.uint8)).any()


def test_otsu_parts_two_levels_in_the_middle() -> None:
    image = np.array([[10] * 50 + [200] * 20], dtype=np.uint8)
    assert 10 <= otsu(image) < 200


def test_transparent_and_turned_pictures_are_read_as_people_see_them(tmp_path: Path) -> None:
    ink = np.zeros((120, 90, 4), dtype=np.uint8)
    ink[20:80, 15:25] = (0, 0, 0, 255)
    Image.fromarray(ink).save(tmp_path / "a.png")
    upright = Image.fromarray(drawn())
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter: the camera was held upright
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "b.jpg", exif=exif, quality=95)
    by_hand = as_mnist(drawn()).astype(int)
    for name in ("a.png", "b.jpg"):
        found = as_mnist(decode_grey(tmp_path / name)).astype(int)
        assert np.abs(found - by_hand).mean() < 6, name


def test_familiarity_calls_one_in_a_hundred_strange_and_other_things_all() -> None:
    train, val = load_images("train"), load_images("val")
    found = fit_familiarity(train.images, val.images)
    p = found.p_values(TEST.images)
    assert 0.0 <= (p < 0.01).mean() < 0.035  # 500 images: one in a hundred ± three standard errors
    assert np.abs(np.mean(p) - 0.5) < 0.08
    noise = np.random.default_rng(0).integers(0, 256, (50, 1, 28, 28), dtype=np.uint8)
    for strange in (noise, 255 - TEST.images[:50], np.rot90(noise, axes=(2, 3))):
        assert (found.p_values(strange) < 0.01).mean() > 0.95


def test_scores_are_the_mahalanobis_distance_where_all_directions_are_kept() -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (400, 1, 3, 3), dtype=np.uint8)
    found = fit_familiarity(images, images[:50])
    flat = images.reshape(400, -1) / 255
    inverse = np.linalg.inv(np.cov(flat, rowvar=False))
    centred = flat[:5] - flat.mean(0)
    by_hand = np.einsum("ni,ij,nj->n", centred, inverse, centred)
    np.testing.assert_allclose(found.scores(images[:5]), by_hand, rtol=1e-6)


# --- the command -------------------------------------------------------------------------------------------


@pytest.fixture
def trained(project: Path) -> Path:
    cli.COMMANDS["train"](["model=mlp", "model.width=64", "trainer.max_epochs=4", "tracking=none"])
    return project


def test_the_command_says_what_evaluation_would(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = trained / "pictures"
    folder.mkdir()
    for i in range(8):
        Image.fromarray(TEST.images[i, 0]).save(folder / f"{i}.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)).save(
        folder / "9.png"
    )
    model = load_model(trained / "models" / "mlp")
    logits = predict_logits(model.network, TEST.images[:8], mean=model.mean, std=model.std)
    views = np.stack([view(folder / f"{i}.png", model, normalised=True) for i in range(8)])
    np.testing.assert_array_equal(
        predict_logits(model.network, views, mean=model.mean, std=model.std), logits
    )
    capsys.readouterr()
    cli.COMMANDS["predict"](["pictures", "name=mlp", "output=json"])
    told = json.loads(capsys.readouterr().out)
    assert [t["class"] for t in told[:8]] == [str(c) for c in logits.argmax(1)]
    assert [t["unlike_training_data"] for t in told] == [False] * 8 + [True]
    assert (trained / "results/mlp/predictions.png").read_bytes().startswith(b"\x89PNG")
    cli.COMMANDS["predict"](["pictures/9.png", "name=mlp", "raw=true"])
    assert "WARNING: unlike the training data" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "error", "word"),
    [
        ([], ConfigError, "no picture"),
        (["none.png", "name=mlp"], DataError, "there is no such file"),
        (["empty", "name=mlp"], DataError, "has no pictures"),
        (["text.png", "name=mlp"], DataError, "not a sound"),
        (["a.png", "name=none"], ModelError, "no such file"),
        (["a.png", "output=xml"], ConfigError, "text, json or inputs"),
        (["a.png", "raw=maybe"], ConfigError, "true or false"),
    ],
)
def test_bad_input_is_one_message_and_writes_nothing(
    trained: Path, arguments: list[str], error: type[Exception], word: str
) -> None:
    (trained / "empty").mkdir()
    (trained / "text.png").write_text("no picture")
    before = sorted(trained.rglob("*"))
    with pytest.raises(error, match=word):
        cli.COMMANDS["predict"](arguments)
    assert sorted(trained.rglob("*")) == before


def test_a_path_with_an_equals_sign_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("name=x.png").write_bytes(b"")
    assert parse(["name=x.png", "name=mlp"]) == ([Path("name=x.png")], "mlp", "text", False)
