from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.data.decode import decode_image
from pipeline.data.image_folder import FolderImages, read_image_folder
from pipeline.errors import DataError


def save(path: Path, *, value: int = 200, size: tuple[int, int] = (6, 6)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)
    return path


def read(path: Path, *, test_fraction: float = 0.25, seed: int = 0) -> FolderImages:
    return read_image_folder(
        path, image_size=8, channels=1, background=0, test_fraction=test_fraction, seed=seed
    )


def decode(path: Path, *, size: int = 4, channels: int = 1, background: int = 0) -> np.ndarray:
    return decode_image(path, size=size, channels=channels, background=background)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight images of each of two classes; the grey says which image it is."""
    for label, name in enumerate(("cat", "dog")):
        for index in range(8):
            save(tmp_path / "own" / name / f"{index}.png", value=100 * label + index)
    return tmp_path / "own"


def coloured(folder: Path, *, side: int, hue: tuple[int, int, int]) -> Path:
    """Four pictures of each of two classes, all of one colour."""
    for name in ("cat", "dog"):
        for index in range(4):
            path = folder / name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (side, side // 2), hue).save(path)
    return folder


@pytest.mark.parametrize(
    ("side", "hue", "channels", "told"),
    [
        pytest.param(64, (90, 90, 90), 1, ["data.image_size=64"], id="shrunk"),
        pytest.param(900, (90, 90, 90), 1, ["data.image_size=128"], id="shrunk_a_lot"),
        pytest.param(32, (200, 90, 20), 1, ["data.channels=3"], id="made_grey"),
        pytest.param(64, (200, 90, 20), 1, ["data.image_size=64", "data.channels=3"], id="both"),
        pytest.param(32, (200, 90, 20), 3, [], id="colours_are_kept"),
        pytest.param(32, (90, 92, 95), 1, [], id="grey_in_a_file_of_colours"),
    ],
)
def test_a_note_names_the_setting_that_keeps_size_or_colours(
    side: int, hue: tuple[int, int, int], channels: int, told: list[str], tmp_path: Path
) -> None:
    found = read_image_folder(
        coloured(tmp_path / "own", side=side, hue=hue),
        image_size=28, channels=channels, background=0, test_fraction=0.25, seed=0,
    )  # fmt: skip
    assert len(found.notes) == len(told)
    assert all(setting in note for setting, note in zip(told, found.notes, strict=True))


@pytest.mark.parametrize("background", [0, 255])
@pytest.mark.parametrize("ink", [0, 255, 100])
def test_ink_on_transparent_paper_can_be_seen(ink: int, background: int, tmp_path: Path) -> None:
    pixels = np.full((4, 4, 4), ink, np.uint8)
    pixels[..., 3] = np.tril(np.full((4, 4), 255))
    Image.fromarray(pixels).save(tmp_path / "x.png")
    paper = 255 - background if ink == background else background
    drawn = np.tril(np.ones((4, 4), bool))
    for channels in (1, 3):
        found = decode(tmp_path / "x.png", size=4, channels=channels, background=background)
        assert (found == np.where(drawn, ink, paper)).all()


# Colour modes: the expected grey is worked out by hand.
LUMA_OF_RED = round(255 * 0.299)
MODES = {
    "grey": ("png", Image.new("L", (4, 4), 77), 77),
    "rgb": ("png", Image.new("RGB", (4, 4), (255, 0, 0)), LUMA_OF_RED),
    "bilevel": ("png", Image.new("1", (4, 4), 1), 255),
    "palette": ("gif", Image.new("RGB", (4, 4), (255, 0, 0)).convert("P"), LUMA_OF_RED),
    "transparent": ("png", Image.new("RGBA", (4, 4), (255, 255, 255, 0)), 9),  # the background
    "half_transparent": (
        "png",
        Image.new("LA", (4, 4), (255, 128)),
        round(9 + (255 - 9) * 128 / 255),
    ),
    "sixteen_bit": ("png", Image.fromarray(np.full((4, 4), 100 * 257, np.uint16)), 100),
    "sixteen_bit_tiff": ("tif", Image.fromarray(np.full((4, 4), 100 * 257, np.uint16)), 100),
    "cmyk": ("tif", Image.new("CMYK", (4, 4), (0, 0, 0, 155)), 100),
    "jpeg": ("jpg", Image.new("L", (4, 4), 77), 77),
    "webp": ("webp", Image.new("RGB", (4, 4), (77, 77, 77)), 77),
    "bmp": ("bmp", Image.new("RGB", (4, 4), (77, 77, 77)), 77),
}


@pytest.mark.parametrize(("suffix", "image", "grey"), MODES.values(), ids=MODES)
def test_every_colour_mode_becomes_grey(
    suffix: str, image: Image.Image, grey: int, tmp_path: Path
) -> None:
    path = tmp_path / f"x.{suffix}"
    image.save(path)
    decoded = decode(path, background=9)
    assert decoded.shape == (1, 4, 4) and decoded.dtype == np.uint8
    assert abs(decoded.astype(int) - grey).max() <= 1  # rounding in the codecs


def test_colours_stay_in_their_channels(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (10, 20, 30)).save(tmp_path / "x.png")
    assert decode(tmp_path / "x.png", channels=3)[:, 1, 2].tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [
        ((16, 8), slice(2, 6), slice(0, 8)),
        ((8, 16), slice(0, 8), slice(2, 6)),
        ((3, 3), slice(0, 8), slice(0, 8)),
        ((2000, 1), slice(3, 4), slice(0, 8)),
    ],
    ids=["wide", "tall", "small_square", "a_line"],
)
def test_the_aspect_is_kept_and_the_rest_is_background(
    size: tuple[int, int], rows: slice, columns: slice, tmp_path: Path
) -> None:
    expected = np.full((8, 8), 50)
    expected[rows, columns] = 200
    decoded = decode(save(tmp_path / "x.png", size=size), size=8, background=50)
    assert decoded[0].tolist() == expected.tolist()


def test_the_orientation_that_a_camera_noted_is_obeyed(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4), np.uint8)
    pixels[0] = 255  # a bright top row …
    exif = Image.Exif()
    exif[0x0112] = 6  # … in a picture to be turned clockwise by 90°
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif)
    assert decode(tmp_path / "x.png")[0].tolist() == np.rot90(pixels, -1).tolist()


def make_png_header(width: int, height: int) -> bytes:
    """A tiny PNG that promises many pixels, written by hand."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100)))


@pytest.mark.parametrize("side", [7_072, 9_000, 12_000, 40_000])
def test_a_decompression_bomb_is_refused_before_decoding(side: int, tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(make_png_header(side, side))
    with pytest.raises(DataError, match=r"bomb\.png.*(pixels; at most|too large)"):
        decode(tmp_path / "bomb.png")


BROKEN = {
    "empty": b"",
    "text": b"hello",
    "cut": make_png_header(100, 100),
    # A format that is left out on purpose
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n",
    "ppm": b"P6 1 1 255\n\x00\x00\x00",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_what_is_no_sound_image_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.png: not a sound"):
        decode(tmp_path / "x.png")


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_numbers_without_a_range_are_refused(dtype: type, tmp_path: Path) -> None:
    Image.fromarray(np.ones((4, 4), dtype)).save(tmp_path / "x.tif")
    with pytest.raises(DataError, match="no fixed range"):
        decode(tmp_path / "x.tif")


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(suffix=st.sampled_from(["png", "gif", "bmp", "jpg", "tif", "webp"]), data=st.data())
@pytest.mark.filterwarnings("ignore")
def test_any_damage_is_an_image_or_a_data_error(
    suffix: str, data: st.DataObject, tmp_path: Path
) -> None:
    path = save(tmp_path / f"x.{suffix}")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        assert decode(path).shape == (1, 4, 4)
    except DataError as error:
        assert str(path) in str(error)


def test_classes_are_numbered_in_the_order_of_their_names(folder: Path) -> None:
    result = read(folder)
    assert result.class_names == ("cat", "dog")
    for part in (result.train, result.test):
        greys = part.images[:, 0, 4, 4]
        assert (greys // 100).tolist() == part.labels.tolist()


def test_without_a_test_folder_a_stratified_share_is_set_apart(folder: Path) -> None:
    result, again, other = read(folder), read(folder), read(folder, seed=1)
    assert np.bincount(result.test.labels).tolist() == [2, 2]
    assert np.bincount(result.train.labels).tolist() == [6, 6]
    greys = [*result.train.images[:, 0, 4, 4], *result.test.images[:, 0, 4, 4]]
    assert len(set(greys)) == 16
    assert np.array_equal(result.test.images, again.test.images)
    assert not np.array_equal(result.test.images, other.test.images)


def test_a_test_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    for part, num in (("train", 5), ("test", 2)):
        for name in ("cat", "dog"):
            for index in range(num):
                save(tmp_path / part / name / f"{index}.png", value=num)
    result = read(tmp_path)
    assert (result.train.images == 5).all() and len(result.train) == 10
    assert (result.test.images == 2).all() and len(result.test) == 4


def test_a_test_class_that_train_lacks_is_refused(tmp_path: Path) -> None:
    for place in ("train/cat", "train/dog", "test/cow"):
        save(tmp_path / place / "0.png")
    with pytest.raises(DataError, match=r"test/cow.*it has cat, dog"):
        read(tmp_path)


def test_hidden_files_are_passed_over_and_others_are_told(folder: Path) -> None:
    for hidden in (".DS_Store", "cat/.hidden.png", ".git/x.png", "cat/.thumbs/x.png"):
        (folder / hidden).parent.mkdir(exist_ok=True)
        (folder / hidden).touch()
    (folder / "cat" / "notes.txt").touch()
    (folder / "README.md").touch()
    save(folder / "dog" / "deeper" / "x.PNG")
    result = read(folder)
    assert len(result.train) + len(result.test) == 17
    assert sorted(result.skipped) == ["README.md", "cat/notes.txt"]


def test_every_broken_file_is_named_up_to_ten(folder: Path) -> None:
    for index in range(12):
        (folder / "cat" / f"broken{index:02}.png").write_bytes(b"no")
    with pytest.raises(DataError, match="12 of 28 images cannot be used") as caught:
        read(folder)
    said = str(caught.value)
    assert "broken00.png" in said and "broken09.png" in said and "broken10.png" not in said
    assert "and 2 more" in said


def test_a_few_broken_files_are_left_out_with_their_names_and_reasons(folder: Path) -> None:
    for index in range(8, 12):  # 24 sound images
        for name in ("cat", "dog"):
            save(folder / name / f"{index:02}.png", value=100 * (name == "dog") + index)
    sound = read(folder)
    (folder / "cat" / "05.png").write_bytes(b"no")
    (folder / "dog" / "x.png").write_bytes(make_png_header(40_000, 40_000))
    found = read(folder)
    assert np.array_equal(found.train.images, sound.train.images)
    assert found.train.labels.tolist() == sound.train.labels.tolist()
    assert np.array_equal(found.test.images, sound.test.images)
    (note,) = found.notes
    assert "2 of 26 images cannot be used" in note and "They were left out." in note
    assert "cat/05.png: not a sound" in note and "dog/x.png: too large" in note


def test_a_class_whose_images_are_all_broken_is_named(folder: Path) -> None:
    for index in range(8, 30):
        save(folder / "dog" / f"{index:02}.png", value=index)
    for path in (folder / "cat").glob("[1-7].png"):
        path.unlink()
    (folder / "cat" / "0.png").write_bytes(b"no")
    with pytest.raises(DataError, match="The class cat has no others"):
        read(folder)


@pytest.mark.parametrize("target", ["file", "folder", "class"])
def test_a_link_that_leads_out_is_refused(target: str, folder: Path) -> None:
    outside = save(folder.parent / "outside" / "secret.png")
    link = {"file": "cat/x.png", "folder": "cat/more", "class": "cow"}[target]
    (folder / link).symlink_to(outside if target == "file" else outside.parent)
    with pytest.raises(DataError, match=rf"{link} is a link to .*outside"):
        read(folder)


def test_a_link_inside_is_followed(folder: Path) -> None:
    (folder / "cat" / "again.png").symlink_to(folder / "cat" / "0.png")
    assert len(read(folder).train) + len(read(folder).test) == 17


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([], "no class folder"),
        (["cat/0.png"], "only the class folder cat"),
        (["cat/0.png", "dog/0.txt"], r"dog has no images"),
        (["cat/0.png", "dog/0.png"], "test_fraction=0.25 is impossible"),
    ],
    ids=["nothing", "one_class", "empty_class", "one_image_each"],
)
def test_a_folder_of_another_shape_is_explained(
    places: list[str], said: str, tmp_path: Path
) -> None:
    for place in places:
        (tmp_path / place).parent.mkdir(exist_ok=True)
        save(tmp_path / place) if place.endswith("png") else (tmp_path / place).touch()
    with pytest.raises(DataError, match=said):
        read(tmp_path)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_an_impossible_share_is_refused(fraction: float, folder: Path) -> None:
    with pytest.raises(DataError, match="test_fraction"):
        read(folder, test_fraction=fraction)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere is not a folder"):
        read(tmp_path / "nowhere")


@pytest.mark.skipif(os.name == "nt", reason="names of files are Unicode there")
def test_names_of_another_encoding_can_be_printed(folder: Path) -> None:
    (folder / "cat" / os.fsdecode(b"lis\xe9.txt")).touch()
    (folder / "cat" / os.fsdecode(b"d\xe9faut.png")).touch()
    found = read(folder)
    assert list(found.skipped) == ["cat/lis\ufffd.txt"]
    assert "d\ufffdfaut.png" in "".join(found.notes)
    "".join(found.notes).encode()
    save(folder / os.fsdecode(b"caf\xe9") / "0.png")
    with pytest.raises(DataError, match="caf\ufffd: the name of this class folder is not UTF-8"):
        read(folder)
