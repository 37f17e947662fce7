"""The stage ``preprocess``: raw files → three splits and their card in ``data/processed/<dataset>/``."""

from __future__ import annotations

from pathlib import Path

from pipeline.config.schema import DataSection, Idx, ImageFolder
from pipeline.data.manifest import find_dataset
from pipeline.data.prepare import prepare_dataset
from pipeline.data.raw import read_raw
from pipeline.records import DataCard, ImageSet


def preprocess(data: DataSection, *, root: Path) -> None:
    """Split, measure, fit the cheap baselines, write; all or nothing.

    Raises `DataError` for raw files that are missing or malformed, and for an impossible split.
    """
    train, test, class_names = _idx(data, root) if isinstance(data, Idx) else _folder(data, root)
    card = prepare_dataset(
        train,
        test,
        name=data.name,
        class_names=class_names,
        validation_size=_validation_size(data, len(train)),
        split_seed=data.split_seed,
        directory=root / "data" / "processed" / data.name,
    )
    _tell(card)


def _idx(data: Idx, root: Path) -> tuple[ImageSet, ImageSet, tuple[str, ...]]:
    dataset = find_dataset(data.name)
    train, test = read_raw(data.name, root / "data" / "raw" / data.name)
    return train, test, tuple(dataset.class_names)


def _folder(data: DataSection, root: Path) -> tuple[ImageSet, ImageSet, tuple[str, ...]]:
    from pipeline.data.image_folder import read_image_folder

    assert isinstance(data, ImageFolder)
    found = read_image_folder(
        root / Path(data.path).expanduser(),
        image_size=data.image_size,
        channels=data.channels,
        background=0,
        test_fraction=data.test_fraction,
        seed=data.split_seed,
    )
    if found.skipped:
        shown = ", ".join(found.skipped[:5]) + (" …" if len(found.skipped) > 5 else "")
        print(f"note: {len(found.skipped)} files are not images and were left out: {shown}")
    return found.train, found.test, tuple(found.class_names)


def _validation_size(data: DataSection, num_train: int) -> int:
    wanted = data.validation_size if isinstance(data, Idx | ImageFolder) else 0
    return round(wanted * num_train) if isinstance(wanted, float) else wanted


def _tell(card: DataCard) -> None:
    counts = {split: sum(counts) for split, counts in card.class_counts.items()}
    print(f"{card.name}: " + ", ".join(f"{count:,} {split}" for split, count in counts.items()))
    print(f"  mean {card.mean[0]:.4f}, standard deviation {card.std[0]:.4f} of the training part")
    for name, baseline in card.baselines.items():
        print(
            f"  baseline {name.replace('_', ' ')}: validation accuracy {baseline.accuracy:.2%}, "
            f"cross-entropy {baseline.cross_entropy:.4f} (fitted on {baseline.num_train:,} images)"
        )
