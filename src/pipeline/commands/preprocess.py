"""The command ``preprocess``: raw files → three splits and their card in ``data/processed/``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.command import Call, Command, NoOptions
from pipeline.commands.settled import note
from pipeline.config.schema import DataSection, Idx, ImageFolder, OwnData, TableData
from pipeline.errors import ConfigError
from pipeline.home import expanded
from pipeline.terminal import visible

if TYPE_CHECKING:
    from pipeline.data.image_folder import FolderImages
    from pipeline.records import Column, DataCard, ImageSet


@dataclass(frozen=True)
class _Raw:
    """Images or rows as they were found.

    val: None where it is split off.  lines: on what was found.  columns: of a table.
    """

    train: ImageSet
    test: ImageSet
    class_names: tuple[str, ...]
    val: ImageSet | None = None
    lines: tuple[str, ...] = field(default=())
    columns: tuple[Column, ...] = ()


def run(call: Call[NoOptions]) -> None:
    """Split, measure, fit the cheap baselines, write; all or nothing. Unchanged data is left alone.

    A person's own data module is always read: nobody else knows which files it reads.
    Raises `DataError` for raw files that are missing or malformed, and for an impossible split.
    """
    from pipeline.config import compose
    from pipeline.config.surroundings import surroundings_read
    from pipeline.data.prepared import prepared_folder
    from pipeline.data.store import load_card
    from pipeline.data.unchanged import Preparation
    from pipeline.disk import check_disk

    with surroundings_read() as read:
        settings = compose(call.settings, root=call.root).settings
    data = settings.data
    _check_name(data, root=call.root)
    directory = prepared_folder(data.name, root=call.root)
    deciding = {"name": data.name, **data.preparation()}
    preparation = Preparation(directory, settings=deciding, sources=_sources(data, call.root))
    shown = directory.relative_to(call.root)
    nothing_to_do = f"nothing to do: {shown}/ is of these files and settings"
    is_known = not isinstance(data, OwnData)
    if is_known and preparation.is_done():
        lines = _card_lines(load_card(directory))
        print("\n".join([nothing_to_do, *lines]))
    else:
        # The test of rights comes before minutes of decoding; the room is known only after it.
        check_disk({directory: 0}, largest=0)
        raw = _raw(data, allow=settings.allow_targets, root=call.root)
        lines = _card_lines(_prepare(raw, data, directory))
        print("\n".join(lines))
        if is_known:
            preparation.note()
    if is_known and _words_decide(data) and not read:
        facts = {
            "directory": str(shown),
            "settings": deciding,
            "sources": [_shown(source, call.root) for source in preparation.sources],
            "lines": [nothing_to_do, *lines],
        }
        note("preprocess", call.settings, facts, root=call.root)


def _words_decide(data: DataSection) -> bool:
    """Whether the path of the sources is the same for everyone: not in a person's home."""
    return not str(getattr(data, "path", "")).startswith("~")


def _sources(data: DataSection, root: Path) -> list[Path]:
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


def _raw(data: DataSection, *, allow: Sequence[str], root: Path) -> _Raw:
    if isinstance(data, OwnData):
        return _module(data, allow)
    if isinstance(data, TableData):
        return _table(data, root)
    return _idx(data, root) if isinstance(data, Idx) else _folder(data, root)


def _prepare(raw: _Raw, data: DataSection, directory: Path) -> DataCard:
    from pipeline.data.prepare import prepare_dataset

    for line in raw.lines:
        print(visible(line))
    return prepare_dataset(
        raw.train,
        raw.test,
        val=raw.val,
        name=data.name,
        class_names=raw.class_names,
        validation_size=_validation_size(data, len(raw.train)),
        split_seed=data.split_seed,
        directory=directory,
        settings=data.preparation(),
        columns=raw.columns,
    )


def _check_name(data: DataSection, *, root: Path) -> None:
    """Raise `ConfigError` where a folder's name is taken by a published set or another folder."""
    from pipeline.data.manifest import DATASETS
    from pipeline.data.prepared import absolute, prepared_folder
    from pipeline.data.store import CARD, load_card

    if isinstance(data, Idx):
        return
    way_out = f"Give it a name of its own: data.name={data.name}_2, here and in every training."
    if data.name in DATASETS:
        raise ConfigError(f"data.name={data.name}: is the name of a published set. {way_out}")
    folder = prepared_folder(data.name, root=root)
    if not isinstance(data, ImageFolder | TableData) or not (folder / CARD).is_file():
        return
    present = load_card(folder).settings.get("path")
    if present and absolute(present, root=root) != absolute(data.path, root=root):
        kind = "file" if isinstance(data, TableData) else "folder"
        raise ConfigError(
            f"data.path={data.path}: data/processed/{data.name} holds the data of another {kind}, "
            f"{present}. {way_out} To replace it, remove data/processed/{data.name} first."
        )


def _idx(data: Idx, root: Path) -> _Raw:
    from pipeline.data.manifest import find_dataset
    from pipeline.data.raw import read_raw

    dataset = find_dataset(data.name)
    train, test = read_raw(data.name, root / "data" / "raw" / data.name)
    return _Raw(train, test, tuple(dataset.class_names))


def _module(data: OwnData, allow: Sequence[str]) -> _Raw:
    from pipeline.training.own_data import read_datamodule

    found = read_datamodule(data.target, data.arguments(), allow=allow)
    return _Raw(found.train, found.test, found.class_names, val=found.val, lines=found.notes)


def _table(data: TableData, root: Path) -> _Raw:
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
    return _Raw(
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


def _folder(data: DataSection, root: Path) -> _Raw:
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
    return _Raw(
        found.train,
        found.test,
        tuple(found.class_names),
        val=found.val,
        lines=(_recognised(found, data, root), *_left_out(found)),
    )


def _recognised(found: FolderImages, data: ImageFolder, root: Path) -> str:
    """Return the sentence on which folder became which part."""
    classes = ", ".join(found.class_names[:10]) + (" …" if len(found.class_names) > 10 else "")
    parts = [f"{split} from {_shown(place, root)}/" for split, place in found.places.items()]
    if "test" not in found.places:
        parts.append(f"test split off from train (data.test_fraction={data.test_fraction:g})")
    if "val" not in found.places:
        parts.append(f"val split off from train (data.validation_size={data.validation_size})")
    return f"recognised: {len(found.class_names)} classes ({classes}); " + ", ".join(parts)


def _shown(place: Path, root: Path) -> str:
    return str(place.relative_to(root) if place.is_relative_to(root) else place)


def _left_out(found: FolderImages) -> list[str]:
    lines = [f"note: {note}" for note in found.notes]
    if found.skipped:
        shown = ", ".join(found.skipped[:5]) + (" …" if len(found.skipped) > 5 else "")
        lines.append(f"note: {len(found.skipped)} files are not images and were left out: {shown}")
    return lines


def _validation_size(data: DataSection, num_train: int) -> int:
    wanted = data.validation_size if isinstance(data, Idx | ImageFolder | OwnData) else 0
    return round(wanted * num_train) if isinstance(wanted, float) else wanted


def _card_lines(card: DataCard) -> list[str]:
    counts = {split: sum(counts) for split, counts in card.class_counts.items()}
    lines = [f"{card.name}: " + ", ".join(f"{count:,} {split}" for split, count in counts.items())]
    if not card.columns:
        mean, std = card.mean[0], card.std[0]
        lines.append(f"  mean {mean:.4f}, standard deviation {std:.4f} of the training part")
    for name, baseline in card.baselines.items():
        lines.append(
            f"  baseline {name.replace('_', ' ')}: validation accuracy {baseline.accuracy:.2%}, "
            f"cross-entropy {baseline.cross_entropy:.4f} (fitted on {baseline.num_train:,} images)"
        )
    return lines + _rare_classes(card)


def _rare_classes(card: DataCard) -> list[str]:
    """Return a note on the classes that a part lacks, or of which the training part has one."""
    rare = []
    for i, name in enumerate(card.class_names):
        counts = {split: of_class[i] for split, of_class in card.class_counts.items()}
        if counts["train"] < 2 or not all(counts.values()):
            found = ", ".join(f"{count:,} {split}" for split, count in counts.items())
            rare.append(f"{name} ({found})")
    if not rare:
        return []
    shown = ", ".join(rare[:5]) + (" …" if len(rare) > 5 else "")
    return [visible(f"note: these classes have too few examples: {shown}. Add some.")]


COMMAND = Command(
    options=NoOptions,
    run=run,
    settings="training",
    examples=(
        "pipeline preprocess",
        "pipeline preprocess data=fashion_mnist data.validation_size=10000",
        "pipeline preprocess data=image_folder data.path=photos data.channels=3",
        "pipeline preprocess data=table data.path=wine.csv data.target=kind",
    ),
)
