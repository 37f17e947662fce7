"""The layouts that people have: which folder is recognised as what, from a table of cases."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from pipeline.data.folder_layout import recognise
from pipeline.data.image_folder import FolderImages, read_image_folder
from pipeline.errors import DataError


def fill(root: Path, *places: str) -> Path:
    """Give each place one image; ``train/cat`` becomes ``train/cat/0.png``."""
    for place in places:
        folder = root / place
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 6), 9).save(folder / "0.png")
    return root


def classes(*parts: str) -> list[str]:
    return [f"{part}/{name}" for part in parts for name in ("cat", "dog")]


# What lies in the folder → part: folder.
LAYOUTS = {
    "classes": (["cat", "dog"], {"train": "."}),
    "train_test": (classes("train", "test"), {"train": "train", "test": "test"}),
    "train_val": (classes("train", "val"), {"train": "train", "val": "val"}),
    "all_three": (
        classes("train", "val", "test"),
        {"train": "train", "val": "val", "test": "test"},
    ),
    "other_words": (
        classes("Training", "VALIDATION", "testing"),
        {"train": "Training", "val": "VALIDATION", "test": "testing"},
    ),
    "valid": (classes("Train", "valid"), {"train": "Train", "val": "valid"}),
    "in_an_archive": (
        [*classes("set/train", "set/test"), "__MACOSX/set", ".cache/x"],
        {"train": "set/train", "test": "set/test"},
    ),
    "only_train": (classes("train"), {"train": "train"}),
    "test_without_labels": ([*classes("train"), "test"], {"train": "train"}),
    "one_more_folder": ([*classes("train", "val"), "notes"], {"train": "train", "val": "val"}),
    # A vehicle can be a train, and a subfolder of a class is no class.
    "a_class_named_train": (["train", "bus", "car"], {"train": "."}),
    "a_deep_class_named_train": (["train/steam", "train/diesel", "bus"], {"train": "."}),
    "a_class_named_test": (["test", "control"], {"train": "."}),
}


@pytest.mark.parametrize(("places", "expected"), LAYOUTS.values(), ids=LAYOUTS)
def test_each_layout_is_recognised(
    places: list[str], expected: dict[str, str], tmp_path: Path
) -> None:
    found = recognise(fill(tmp_path, *places)).parts
    assert found == {part: tmp_path / folder for part, folder in expected.items()}


def test_folders_without_labels_are_left_out_and_named(tmp_path: Path) -> None:
    notes = recognise(fill(tmp_path, *classes("train", "val"), "test", "notes")).notes
    assert [note.split()[0] for note in notes] == ["notes/", "test/"]
    assert "1 images without class folders" in notes[1]


REFUSED = {
    "no_train": (classes("val", "test"), "has test/ and val/ but no train/"),
    "two_for_one": (classes("train", "val", "valid"), "val/ and valid/, two folders for one part"),
    "train_without_classes": (["train", *classes("val")], "train has no class folders"),
    "class_of_val_only": (
        [*classes("train", "val"), "val/cow"],
        r"val/cow is a class that .*it has cat, dog",
    ),
}


@pytest.mark.parametrize(("places", "said"), REFUSED.values(), ids=REFUSED)
def test_a_layout_that_cannot_be_used_is_explained(
    places: list[str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=said):
        read(fill(tmp_path, *places))


def test_each_part_has_the_images_of_its_folder(tmp_path: Path) -> None:
    for grey, part in ((10, "train"), (20, "val"), (30, "test")):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            Image.new("L", (8, 8), grey).save(tmp_path / part / name / "0.png")
            # What macOS adds is no image, though its name says so.
            (tmp_path / part / name / "._0.png").write_bytes(b"\x00\x05\x16\x07")
    (tmp_path / "train" / "__MACOSX").mkdir()
    found = read(tmp_path)
    assert found.val is not None
    greys = [int(part.images.mean()) for part in (found.train, found.val, found.test)]
    assert greys == [10, 20, 30]
    assert found.class_names == ("cat", "dog") and not found.skipped


def read(path: Path) -> FolderImages:
    return read_image_folder(
        path, image_size=8, channels=1, background=0, test_fraction=0.5, seed=0
    )
