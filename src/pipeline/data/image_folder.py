"""A person's own images: one folder per class, any size and colour mode, brought to one form.

`pipeline.data.folder_layout` says which folders are classes and which are parts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.data.decode import decode_image
from pipeline.data.file_names import SUFFIXES, is_visible, shown
from pipeline.data.folder_layout import recognise
from pipeline.data.preparation_notes import preparation_notes
from pipeline.data.prepare import take
from pipeline.data.split import stratified_split
from pipeline.data.tensor_files import room
from pipeline.errors import DataError
from pipeline.records import ImageSet, Split

_MAX_NAMED = 10
# Damage that is rare leaves a sound data set; more of it says that something else is wrong.
MAX_BROKEN_SHARE = 0.1  # of the images of a part


@dataclass(frozen=True)
class FolderImages:
    """The images of a folder.

    val: None where the folder has no validation part of its own.  places: part → the folder that
    its images came from; a part that was split off has none.  skipped: files that are not images,
    relative to the folder.  notes: sentences on what was left out, or lost by the preparation.
    """

    train: ImageSet
    val: ImageSet | None
    test: ImageSet
    class_names: Sequence[str]
    places: Mapping[Split, Path]
    skipped: Sequence[str]
    notes: Sequence[str]


def read_image_folder(
    path: Path,
    *,
    image_size: int,
    channels: int,
    background: int,
    test_fraction: float,
    seed: int,
    scratch: Path | None = None,
) -> FolderImages:
    """Read all images, scaled to fit ``image_size`` × ``image_size`` with their aspect kept.

    channels: 1 (grey) or 3 (RGB).  background: 0 … 255, the grey of padding and of transparent
    pixels (see `decode_image`).  test_fraction: the share (0 < share < 1) of each class that
    becomes the test set where there is no test folder; stratified and seeded.  scratch: a folder
    for images that memory should not hold; None keeps them there.
    Classes are numbered in the order of their names. Hidden files and ``__MACOSX`` are ignored.

    Raises:
        DataError: no folder, a layout that is not known, fewer than two classes, an empty class, a
            link that leads out of the folder, a class that the training part does not have, or
            more than ``MAX_BROKEN_SHARE`` of a part's images cannot be decoded.
    """
    layout = recognise(path)
    skipped: list[str] = []
    files = {
        split: _list_files(part, root=path, skipped=skipped) for split, part in layout.parts.items()
    }
    class_names = _class_names(layout.parts, files)
    notes, sets = list(layout.notes), {}
    form = {"size": image_size, "channels": channels, "background": background}
    for split, listed in files.items():
        sets[split], broken = _decode_all(listed, class_names, scratch=scratch, **form)
        notes += [f"{broken}They were left out."] if broken else []
    of_train = [path for listed in files["train"].values() for path in listed]
    notes += preparation_notes(of_train, size=image_size, channels=channels)
    train, test = sets["train"], sets.get("test")
    if test is None:
        train, test = _split_test(
            train, fraction=test_fraction, seed=seed, class_names=class_names, scratch=scratch
        )
    return FolderImages(
        train=train,
        val=sets.get("val"),
        test=test,
        class_names=class_names,
        places=layout.parts,
        skipped=tuple(skipped),
        notes=tuple(notes),
    )


def _list_files(part: Path, *, root: Path, skipped: list[str]) -> Mapping[str, Sequence[Path]]:
    """Map class name → image files, both in the order of names; add others to ``skipped``."""
    files: dict[str, Sequence[Path]] = {}
    _check_inside(part, root=root)
    for entry in filter(is_visible, sorted(part.iterdir())):
        _check_inside(entry, root=root)
        if entry.is_dir():
            _check_name(entry)
            files[entry.name] = list(_walk(entry, root=root, skipped=skipped))
        else:
            skipped.append(shown(str(entry.relative_to(root))))
    for name, images in files.items():
        if not images:
            raise DataError(
                f"The class folder {part / name} has no images ({', '.join(SUFFIXES)}). "
                "Add images, or remove the folder."
            )
    return files


def _check_name(folder: Path) -> None:
    if shown(folder.name) != folder.name:
        raise DataError(
            f"{shown(str(folder))}: the name of this class folder is not UTF-8, and class names "
            "must be. Rename it."
        )


def _walk(folder: Path, *, root: Path, skipped: list[str]) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):  # does not follow links to folders
        folders.sort()
        for linked in (Path(place) / name for name in folders):
            _check_inside(linked, root=root)
        folders[:] = [name for name in folders if is_visible(Path(name))]
        for path in (Path(place) / name for name in sorted(names) if is_visible(Path(name))):
            _check_inside(path, root=root)
            if path.suffix.lower() in SUFFIXES:
                yield path
            else:
                skipped.append(shown(str(path.relative_to(root))))


def _check_inside(path: Path, *, root: Path) -> None:
    """Refuse a link that leads out of the root: the data would depend on files elsewhere."""
    try:
        target = path.resolve()
    except (OSError, RuntimeError) as error:  # a RuntimeError for links in a circle
        raise DataError(f"{path} is a link that leads nowhere. Remove it.") from error
    if not target.is_relative_to(root.resolve()):
        raise DataError(
            f"{path} is a link to {target}, outside of {root}. "
            "Copy the files into the folder, or remove the link."
        )


def _class_names(
    parts: Mapping[Split, Path], files: Mapping[Split, Mapping[str, Sequence[Path]]]
) -> tuple[str, ...]:
    """Return the classes of the training part; the other parts may have no further ones."""
    path, known = parts["train"], files["train"]
    if len(known) < 2:
        present = f"only the class folder {next(iter(known))}" if known else "no class folder"
        raise DataError(
            f"{path} has {present}; at least two are needed, each with the images of one class: "
            f"{path}/<class name>/<image>."
        )
    for split, classes in files.items():
        unknown = sorted(set(classes) - set(known))
        if unknown:
            raise DataError(
                f"{parts[split] / unknown[0]} is a class that {path} does not have; it has "
                f"{', '.join(known)}. Add training images of it, or remove the folder."
            )
    return tuple(known)


def _decode_all(
    files: Mapping[str, Sequence[Path]],
    class_names: Sequence[str],
    *,
    size: int,
    channels: int,
    background: int,
    scratch: Path | None,
) -> tuple[ImageSet, str]:
    """Return the images that can be decoded, and a sentence on the others; empty without any."""
    pairs = [(path, class_names.index(name)) for name, paths in files.items() for path in paths]
    images = room((len(pairs), channels, size, size), directory=scratch)
    labels: list[int] = []
    broken: list[str] = []
    for path, label in pairs:
        try:
            decoded = decode_image(path, size=size, channels=channels, background=background)
        except DataError as error:
            broken.append(shown(str(error)))
        else:
            images[len(labels)] = decoded
            labels.append(label)
    told = _on_broken(broken, count=len(pairs))
    if len(broken) > MAX_BROKEN_SHARE * len(pairs):
        raise DataError(f"{told}At most {MAX_BROKEN_SHARE:.0%} may be. Repair or remove them.")
    empty = [name for name in files if class_names.index(name) not in labels]
    if empty:
        raise DataError(f"{told}The class {empty[0]} has no others. Repair them.")
    return ImageSet(images=images[: len(labels)], labels=np.array(labels, dtype=np.int64)), told


def _on_broken(broken: Sequence[str], *, count: int) -> str:
    """Return how many images cannot be used, with the first names and reasons."""
    if not broken:
        return ""
    more = f"\n  … and {len(broken) - _MAX_NAMED} more" if len(broken) > _MAX_NAMED else ""
    listed = "\n  ".join(broken[:_MAX_NAMED])
    return f"{len(broken)} of {count} images cannot be used:\n  {listed}{more}\n"


def _split_test(
    images: ImageSet,
    *,
    fraction: float,
    seed: int,
    class_names: Sequence[str],
    scratch: Path | None,
) -> tuple[ImageSet, ImageSet]:
    if not 0 < fraction < 1:
        raise DataError(
            f"data.test_fraction={fraction} is out of range: choose 0 < data.test_fraction < 1."
        )
    try:
        size = round(fraction * len(images))
        rest, sample = stratified_split(
            images.labels, size=size, seed=seed, class_names=class_names
        )
    except DataError as error:
        raise DataError(f"data.test_fraction={fraction} is impossible. {error}") from error
    return take(images, rest, scratch=scratch), take(images, sample, scratch=scratch)
