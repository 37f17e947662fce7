"""Which trained model or run a command is about."""

from __future__ import annotations

from pathlib import Path

from pipeline.config.words import nearest
from pipeline.errors import ConfigError, DataError


def models(root: Path) -> list[str]:
    """Return the names under ``models/``; a hidden folder, as an editor leaves it, is none."""
    return sorted(path.name for path in (root / "models").glob("[!.]*") if path.is_dir())


def results(root: Path) -> list[str]:
    """Return the names under ``results/`` of the runs that left a history."""
    return sorted(path.parent.name for path in (root / "results").glob("[!.]*/history.csv"))


def the_one(name: str | None, known: list[str]) -> str:
    """Return the name if it is known; without a name, the only one that there is.

    Raises `DataError` for a name that is not known and where nothing is trained, `ConfigError`
    where no name is given and there are several.
    """
    if name is None:
        if len(known) == 1:
            return known[0]
        if known:
            raise ConfigError(f"name: missing. Several are trained, name one: {', '.join(known)}")
        raise DataError("name: nothing is trained yet. Train a model first: pipeline train")
    if name not in known:
        hint = nearest(name, known, prefix="name=").rstrip(".")
        raise DataError(
            f"name={name}: nothing of this name is trained{hint}. "
            f"To train it: pipeline train name={name}"
        )
    return name
