"""The prepared data that a run's settings ask for: found by its name, checked by its card."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.config.overrides import override_text, section_overrides
from pipeline.config.schema import DataSection, OwnData
from pipeline.data.store import CARD, load_card
from pipeline.errors import ConfigError, DataError
from pipeline.home import expanded
from pipeline.records import DataCard


def prepared_folder(name: str, *, root: Path) -> Path:
    """Return the place of a prepared data set: ``data/processed/<name>``."""
    return root / "data" / "processed" / name


def card_of(data: DataSection, *, root: Path) -> DataCard:
    """Return the card of the prepared data that these settings ask for.

    Raises:
        DataError: it is not prepared, or its card is damaged.
        ConfigError: it was prepared with other settings: another path, size, or split.
    """
    folder = prepared_folder(data.name, root=root)
    if not (folder / CARD).is_file():
        raise DataError(
            f"{folder / CARD}: missing. Run `{preprocess_command(data, root=root)}` to make it."
        )
    card = load_card(folder)
    check_card(card, data, root=root)
    return card


def check_card(card: DataCard, data: DataSection, *, root: Path) -> None:
    """Raise `ConfigError` where data was prepared with other settings than these.

    A card without settings is of an older version: there the form of the images must agree.
    """
    differing = differences(card, data, root=root)
    if not differing:
        return
    shown = "; ".join(
        f"data.{key}={override_text(wanted)}, and it was prepared with {override_text(present)}"
        for key, (wanted, present) in differing.items()
    )
    raise ConfigError(
        f"data/processed/{data.name}: was prepared with other settings: {shown}. Leave these "
        f"settings as they were, or prepare again: {preprocess_command(data, root=root)}. "
        "Another data.name=<name> in both commands keeps both."
    )


def differences(card: DataCard, data: DataSection, *, root: Path) -> dict[str, tuple[Any, Any]]:
    """Return key → (value asked for, value on the card) of the settings that differ."""
    wanted, present = data.preparation(), _known(card)
    if not card.settings:
        wanted = {key: value for key, value in wanted.items() if key in present}
    elif ("path" in wanted) != ("path" in card.settings):
        return {"path": (wanted.get("path"), present.get("path"))}
    return {
        key: (value, present.get(key))
        for key, value in wanted.items()
        if not _same(key, value, present.get(key), root)
    }


def preprocess_command(data: DataSection, *, root: Path) -> str:
    """Return the command that prepares the data of these settings."""
    if isinstance(data, OwnData):  # its option is a person's own file, most likely of that name
        return f"pipeline preprocess data={data.name} allow_targets=[{data.target.split('.')[0]}]"
    kept = {"name", *data.preparation()}
    overrides = section_overrides("data", dict(data), root=root)
    parts = [o for o in overrides if o.startswith("data=") or o[5:].partition("=")[0] in kept]
    return shlex.join(["pipeline", "preprocess", *parts])


def _known(card: DataCard) -> Mapping[str, Any]:
    channels, size, _ = card.image_shape
    return card.settings or {"channels": channels, "image_size": size}


def _same(key: str, wanted: Any, present: Any, root: Path) -> bool:
    if key == "path" and isinstance(wanted, str) and isinstance(present, str):
        return bool(absolute(wanted, root=root) == absolute(present, root=root))
    return bool(wanted == present)


def absolute(path: str, *, root: Path) -> Path:
    """Return the place that a setting names, seen from the project's root."""
    return (root / expanded(path)).resolve()
