"""Which folders of a person's images are classes, and which are parts such as ``train/``, ``val/``.

Recognised are ``<class>/``, ``train|training/<class>/``, ``val|valid|validation/<class>/`` and
``test|testing/<class>/``, in any case of letters, also inside one outer folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.file_names import SUFFIXES, is_visible
from pipeline.errors import DataError
from pipeline.records import Split

PART_NAMES: Mapping[Split, Sequence[str]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_MOST_OUTER_FOLDERS = 3
_FORMS = "<class>/<image>, or train/<class>/<image> with val/ and test/ beside train/"


@dataclass(frozen=True)
class FolderLayout:
    """The parts of a folder of images.

    root: the folder that holds them: the named one, or one inside it.  parts: always ``train``; a
    part that is missing here is split off.  notes: sentences on what was left out.
    """

    root: Path
    parts: Mapping[Split, Path]
    notes: Sequence[str] = ()


def folders_in(path: Path) -> list[Path]:
    """Return the visible folders in a folder, by name."""
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and is_visible(entry))


def recognise(path: Path) -> FolderLayout:
    """Return the layout of a folder of images.

    Raises:
        DataError: no folder, two folders for one part, validation or test images without training
            images, or training images that lie outside of class folders.
    """
    if not path.is_dir():
        raise DataError(
            f"data.path={path} is not a folder. Name a folder with one sub-folder per class: "
            f"{_FORMS}."
        )
    root = _inner(path)
    found = _part_folders(root)
    others = [folder for folder in folders_in(root) if folder not in found.values()]
    if "train" not in found:
        return _without_train(root, found, others)
    beside = set(found) - {"train"}
    if others and not (beside and folders_in(found["train"])):
        return FolderLayout(root, {"train": root})  # "train" is a class like the others
    if not folders_in(found["train"]):
        raise DataError(
            f"{found['train']} has no class folders, so the labels of its images are not known. "
            f"Put the images of each class into a folder of its own: {_FORMS}."
        )
    return _with_parts(root, found, others)


def _inner(path: Path) -> Path:
    """Return the folder that an archive's outer folders lead to."""
    for _ in range(_MOST_OUTER_FOLDERS):
        inside = folders_in(path)
        if len(inside) != 1 or len(folders_in(inside[0])) < 2 or _images_in(path):
            return path
        path = inside[0]
    return path


def _part_folders(root: Path) -> dict[Split, Path]:
    found: dict[Split, Path] = {}
    for folder in folders_in(root):
        split = next((s for s, names in PART_NAMES.items() if folder.name.lower() in names), None)
        if split is None:
            continue
        if split in found:
            raise DataError(
                f"{root} has {found[split].name}/ and {folder.name}/, two folders for one part. "
                "Put their images into one of them, or move one elsewhere."
            )
        found[split] = folder
    return found


def _without_train(root: Path, found: Mapping[Split, Path], others: Sequence[Path]) -> FolderLayout:
    parted = [folder for folder in found.values() if folders_in(folder)]
    if parted and not others:
        names = " and ".join(f"{folder.name}/" for folder in parted)
        raise DataError(f"{root} has {names} but no train/. The forms are: {_FORMS}.")
    return FolderLayout(root, {"train": root})


def _with_parts(root: Path, found: Mapping[Split, Path], others: Sequence[Path]) -> FolderLayout:
    """Return the layout of ``train/`` and its neighbours; those without labels are left out."""
    notes = [
        f"{folder.name}/ is no part of the data (train, val or test) and was left out"
        for folder in others
    ]
    parts: dict[Split, Path] = {}
    for split in PART_NAMES:
        if split not in found:
            continue
        if folders_in(found[split]):
            parts[split] = found[split]
        else:
            count = _images_in(found[split])
            what = f"{count} images without class folders" if count else "no images"
            notes.append(f"{found[split].name}/ was left out: it has {what}")
    return FolderLayout(root, parts, tuple(notes))


def _images_in(path: Path) -> int:
    """Return the number of visible images that lie directly in a folder."""
    return sum(
        entry.suffix.lower() in SUFFIXES and is_visible(entry) and entry.is_file()
        for entry in path.iterdir()
    )
