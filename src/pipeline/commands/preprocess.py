"""The command ``preprocess``: raw files → three splits and their card in ``data/processed/``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.command import Call, Command, NoOptions
from pipeline.commands.preprocess_sources import files_read, read_raw, shown_path
from pipeline.commands.up_to_date import note
from pipeline.config.schema import (
    DataSection,
    Idx,
    ImageFolder,
    OwnData,
    Settings,
    TableData,
)
from pipeline.errors import ConfigError
from pipeline.terminal import visible

if TYPE_CHECKING:
    from pipeline.commands.preprocess_sources import RawData
    from pipeline.records import DataCard


def run(call: Call[NoOptions]) -> None:
    """Split, measure, fit the cheap baselines, and write all of it or nothing.

    Does nothing where the prepared data is up to date. A user's own data module is always read,
    since the files that it reads are not known.
    Raises `DataError` for raw files that are missing or malformed, and for an impossible split.
    """
    from pipeline.config import compose
    from pipeline.config.outside_inputs import outside_inputs_read
    from pipeline.data.prepared import prepared_folder
    from pipeline.data.store import load_card
    from pipeline.data.unchanged import Preparation

    root = call.root
    with outside_inputs_read() as outside_inputs:
        settings = compose(call.settings, root=root).settings
    data = settings.data
    _check_name(data, root=root)
    directory = prepared_folder(data.name, root=root)
    if isinstance(data, OwnData):
        _prepare(settings, directory, root=root)
        return

    wanted = {"name": data.name, **data.preparation()}
    preparation = Preparation(directory, settings=wanted, sources=files_read(data, root))
    shown = directory.relative_to(root)
    nothing_to_do = f"nothing to do: {shown}/ was made from these files and settings"
    if preparation.is_done():
        lines = _card_lines(load_card(directory))
        print("\n".join([nothing_to_do, *lines]))
    else:
        lines = _prepare(settings, directory, root=root)
        preparation.note()
    if _same_for_every_user(data) and not outside_inputs:
        facts = {
            "directory": str(shown),
            "settings": wanted,
            "sources": [shown_path(source, root) for source in preparation.sources],
            "lines": [nothing_to_do, *lines],
        }
        note("preprocess", call.settings, facts, root=root)


def _same_for_every_user(data: DataSection) -> bool:
    """Return whether the path of the sources does not begin with a user's home."""
    return not str(getattr(data, "path", "")).startswith("~")


def _prepare(settings: Settings, directory: Path, *, root: Path) -> list[str]:
    """Read, split, measure and write the data. Print what was found; return the card as lines."""
    from pipeline.data.prepare import prepare_dataset
    from pipeline.disk import check_disk

    data = settings.data
    # Rights are checked before minutes of decoding. Room is checked later, when it is known.
    check_disk({directory: 0}, largest=0)
    raw = read_raw(data, allow=settings.allow_targets, root=root)
    for line in raw.lines:
        print(visible(line))
    card = prepare_dataset(
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
    lines = _card_lines(card)
    # The count is no part of the card: it is said once, while the pictures are in memory.
    print("\n".join([*lines, *_repeated(data, raw)]))
    return lines


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


def _validation_size(data: DataSection, num_train: int) -> int:
    wanted = data.validation_size if isinstance(data, Idx | ImageFolder | OwnData) else 0
    return round(wanted * num_train) if isinstance(wanted, float) else wanted


def _card_lines(card: DataCard) -> list[str]:
    counts = {split: sum(counts) for split, counts in card.class_counts.items()}
    lines = [f"{card.name}: " + ", ".join(f"{count:,} {split}" for split, count in counts.items())]
    if not card.columns:
        mean, std = card.mean[0], card.std[0]
        lines.append(f"  mean {mean:.4f}, standard deviation {std:.4f} of the training part")
    examples = "rows" if card.columns else "images"
    for name, baseline in card.baselines.items():
        lines.append(
            f"  baseline {name.replace('_', ' ')}: validation accuracy {baseline.accuracy:.2%}, "
            f"cross-entropy {baseline.cross_entropy:.4f} "
            f"(fitted on {baseline.num_train:,} {examples})"
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


def _repeated(data: DataSection, raw: RawData) -> list[str]:
    """Return a note on test pictures that are in the training part too.

    A published set is as it is, and rows of a table may well be equal.
    """
    if isinstance(data, Idx | TableData):
        return []
    from pipeline.data.repeated import num_repeated

    count = num_repeated(raw.test, among=raw.train)
    if not count:
        return []
    return [
        f"note: {count:,} of {len(raw.test):,} test images are in the training part too, pixel for "
        "pixel: on these the test only asks what was learned by heart. Remove one of each pair."
    ]


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
