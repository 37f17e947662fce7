"""What ``preprocess`` reads: a published set, a folder of images, a table, or a data module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.schema import DataSection, Idx, ImageFolder, OwnData, TableData
from pipeline.home import expanded

if TYPE_CHECKING:
    from pipeline.data.image_folder import FolderImages
    from pipeline.records import Column, ImageSet


@dataclass(frozen=True)
class RawData:
    """Images or rows as they were found, before they are split and measured.

    val: None where it is split off.  lines: on what was found.  columns: of a table.
    """

    train: ImageSet
    test: ImageSet
    class_names: tuple[str, ...]
    val: ImageSet | None = None
    lines: tuple[str, ...] = field(default=())
    columns: tuple[Column, ...] = ()


def read_raw(data: DataSection, *, allow: Sequence[str], root: Path) -> RawData:
    """Read the raw data of any kind of source.

    allow: packages that a ``_target_`` may name.
    Raises `DataError` for files that are missing or malformed.
    """
    if isinstance(data, OwnData):
        return _module(data, allow)
    if isinstance(data, TableData):
        return _table(data, root)
    return _idx(data, root) if isinstance(data, Idx) else _folder(data, root)


def files_read(data: DataSection, root: Path) -> list[Path]:
    """Return the files or the folder that a preparation reads; those that exist and are known."""
    from pipeline.data.manifest import find_dataset
    from pipeline.data.raw import SUMS_NAME

    if isinstance(data, OwnData):
        return []
    if isinstance(data, ImageFolder):
        folder = root / expanded(data.path)
        return [folder] if folder.is_dir() else []
    if isinstance(data, TableData):
        file = root / expanded(data.path)
        return [file] if file.is_file() else []
    names = [*(file.name for file in find_dataset(data.name).files), SUMS_NAME]
    paths = [root / "data" / "raw" / data.name / name for name in names]
    return [path for path in paths if path.is_file()]


def _idx(data: Idx, root: Path) -> RawData:
    from pipeline.data.manifest import find_dataset
    from pipeline.data.raw import read_raw as read_idx

    dataset = find_dataset(data.name)
    train, test = read_idx(data.name, root / "data" / "raw" / data.name)
    return RawData(train, test, tuple(dataset.class_names))


def _module(data: OwnData, allow: Sequence[str]) -> RawData:
    from pipeline.training.own_data import read_datamodule

    found = read_datamodule(data.target, data.arguments(), allow=allow)
    return RawData(found.train, found.test, found.class_names, val=found.val, lines=found.notes)


def _table(data: TableData, root: Path) -> RawData:
    from pipeline.data.table import read_table_parts

    found = read_table_parts(
        root / expanded(data.path),
        target=data.target,
        categorical=data.categorical,
        ignore=data.ignore,
        test_fraction=data.test_fraction,
        validation_size=data.validation_size,
        seed=data.split_seed,
    )
    return RawData(
        found.train,
        found.test,
        found.class_names,
        val=found.val,
        lines=(_columns_line(found.columns, found.train.images.shape[-1]), *found.notes),
        columns=found.columns,
    )


def _columns_line(columns: Sequence[Column], width: int) -> str:
    """Return the sentence on which column was taken as what."""
    numbers = [
        c.name + (" (some missing)" if c.has_missing else "") for c in columns if c.kind == "number"
    ]
    categories = [f"{c.name} ({len(c.categories)})" for c in columns if c.kind == "category"]
    parts = [
        f"{len(names)} {kind} ({', '.join(names[:10])}{' …' if len(names) > 10 else ''})"
        for kind, names in (("numbers", numbers), ("categories", categories))
        if names
    ]
    return f"recognised: {' and '.join(parts)}, {width} inputs"


def _folder(data: DataSection, root: Path) -> RawData:
    from pipeline.data.image_folder import read_image_folder

    assert isinstance(data, ImageFolder)
    found = read_image_folder(
        root / expanded(data.path),
        image_size=data.image_size,
        channels=data.channels,
        background=0,
        test_fraction=data.test_fraction,
        seed=data.split_seed,
        scratch=root / "data" / "processed",
    )
    return RawData(
        found.train,
        found.test,
        tuple(found.class_names),
        val=found.val,
        lines=(_recognised(found, data, root), *_left_out(found)),
    )


def _recognised(found: FolderImages, data: ImageFolder, root: Path) -> str:
    """Return the sentence on which folder became which part."""
    classes = ", ".join(found.class_names[:10]) + (" …" if len(found.class_names) > 10 else "")
    parts = [f"{split} from {shown_path(place, root)}/" for split, place in found.places.items()]
    if "test" not in found.places:
        parts.append(f"test split off from train (data.test_fraction={data.test_fraction:g})")
    if "val" not in found.places:
        parts.append(f"val split off from train (data.validation_size={data.validation_size})")
    return f"recognised: {len(found.class_names)} classes ({classes}); " + ", ".join(parts)


def shown_path(place: Path, root: Path) -> str:
    """Return a path as seen from the root, where it lies below it."""
    return str(place.relative_to(root) if place.is_relative_to(root) else place)


def _left_out(found: FolderImages) -> list[str]:
    lines = [f"note: {note}" for note in found.notes]
    if found.skipped:
        shown = ", ".join(found.skipped[:5]) + (" …" if len(found.skipped) > 5 else "")
        lines.append(f"note: {len(found.skipped)} files are not images and were left out: {shown}")
    return lines
