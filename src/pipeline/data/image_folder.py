"""A person's own images: one folder per class, any size and colour mode, made alike.

Either ``<path>/<class>/*.png`` or ``<path>/train/<class>/…`` with ``<path>/test/<class>/…``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.data.decode import SUFFIXES, decode_image
from pipeline.data.prepare import take
from pipeline.data.split import stratified_split
from pipeline.errors import DataError
from pipeline.records import ImageSet

_MAX_NAMED = 10


@dataclass(frozen=True)
class FolderImages:
    """What a folder held.  skipped: files that are no images, relative to the folder."""

    train: ImageSet
    test: ImageSet
    class_names: Sequence[str]
    skipped: Sequence[str]


def read_image_folder(
    path: Path, *, image_size: int, channels: int, background: int, test_fraction: float, seed: int
) -> FolderImages:
    """Read all images, scaled to fit ``image_size`` × ``image_size`` with their aspect kept.

    channels: 1 (grey) or 3 (RGB).  background: 0 … 255, the grey of the padding and of what is
    transparent.  test_fraction: 0 < share < 1 of each class that becomes the test set where there
    is no ``test`` folder (stratified, seeded).
    Classes are numbered in the order of their names. Hidden files are passed over.

    Raises:
        DataError: no folder, fewer than two classes, an empty class, a link that leads out of the
            folder, a test class that train does not know, or images that cannot be decoded (named).
    """
    if not path.is_dir():
        raise DataError(f"data.path={path} is not a folder. Name a folder with one sub-folder per class.")
    has_test = all((path / part).is_dir() and _folders(path / part) for part in ("train", "test"))
    skipped: list[str] = []
    train_files = _list_files(path / "train" if has_test else path, root=path, skipped=skipped)
    _check_classes(path, train_files)
    class_names = tuple(train_files)
    test_files = _list_files(path / "test", root=path, skipped=skipped) if has_test else {}
    unknown = sorted(set(test_files) - set(class_names))
    if unknown:
        raise DataError(
            f"{path / 'test' / unknown[0]} is a class that {path / 'train'} does not have; it has "
            f"{', '.join(class_names)}. Add training images of it, or remove the folder."
        )
    train = _decode_all(train_files, class_names, size=image_size, channels=channels, background=background)
    if has_test:
        test = _decode_all(test_files, class_names, size=image_size, channels=channels, background=background)
    else:
        train, test = _split_test(train, fraction=test_fraction, seed=seed)
    return FolderImages(train=train, test=test, class_names=class_names, skipped=tuple(skipped))


def _folders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _list_files(part: Path, *, root: Path, skipped: list[str]) -> Mapping[str, Sequence[Path]]:
    """Map class name → image files, both in the order of names; notes other files in ``skipped``."""
    files: dict[str, Sequence[Path]] = {}
    for entry in sorted(part.iterdir()):
        if entry.name.startswith("."):
            continue
        _check_inside(entry, root=root)
        if entry.is_dir():
            files[entry.name] = list(_walk(entry, root=root, skipped=skipped))
        else:
            skipped.append(str(entry.relative_to(root)))
    for name, found in files.items():
        if not found:
            raise DataError(
                f"The class folder {part / name} has no images ({', '.join(SUFFIXES)}). "
                "Add images, or remove the folder."
            )
    return files


def _walk(folder: Path, *, root: Path, skipped: list[str]) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):  # does not follow links to folders
        folders.sort()
        for linked in (Path(place) / name for name in folders):
            _check_inside(linked, root=root)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(place) / name for name in sorted(names) if not name.startswith(".")):
            _check_inside(path, root=root)
            if path.suffix.lower() in SUFFIXES:
                yield path
            else:
                skipped.append(str(path.relative_to(root)))


def _check_inside(path: Path, *, root: Path) -> None:
    """Refuse a link that leads out of the root: data would hang on what is not in the folder."""
    target = path.resolve()
    if not target.is_relative_to(root.resolve()):
        raise DataError(
            f"{path} is a link to {target}, outside of {root}. "
            "Copy the files into the folder, or remove the link."
        )


def _check_classes(path: Path, files: Mapping[str, Sequence[Path]]) -> None:
    if len(files) < 2:
        found = f"only the class folder {next(iter(files))}" if files else "no class folder"
        raise DataError(
            f"{path} has {found}; at least two are needed, each with the images of one class: "
            f"{path}/<class name>/<image>."
        )


def _decode_all(
    files: Mapping[str, Sequence[Path]],
    class_names: Sequence[str],
    *,
    size: int,
    channels: int,
    background: int,
) -> ImageSet:
    pairs = [(path, class_names.index(name)) for name, paths in files.items() for path in paths]
    images = np.empty((len(pairs), channels, size, size), dtype=np.uint8)
    broken = []
    for index, (path, _) in enumerate(pairs):
        try:
            images[index] = decode_image(path, size=size, channels=channels, background=background)
        except DataError as error:
            broken.append(str(error))
    if broken:
        more = f"\n  … and {len(broken) - _MAX_NAMED} more" if len(broken) > _MAX_NAMED else ""
        listed = "\n  ".join(broken[:_MAX_NAMED])
        raise DataError(
            f"{len(broken)} of {len(pairs)} images cannot be used:\n  {listed}{more}\nRepair or remove them."
        )
    return ImageSet(images=images, labels=np.array([label for _, label in pairs], dtype=np.int64))


def _split_test(images: ImageSet, *, fraction: float, seed: int) -> tuple[ImageSet, ImageSet]:
    if not 0 < fraction < 1:
        raise DataError(f"data.test_fraction={fraction} is out of range: choose 0 < data.test_fraction < 1.")
    try:
        rest, sample = stratified_split(images.labels, size=round(fraction * len(images)), seed=seed)
    except DataError as error:
        raise DataError(f"data.test_fraction={fraction} is impossible. {error}") from error
    return take(images, rest), take(images, sample)
