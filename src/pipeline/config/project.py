"""The project's root, and the groups and options of its ``conf/`` folder."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.errors import ConfigError

CONFIG_NAME = "config"


def find_root(start: Path | None = None) -> Path:
    """Return the project's root: the nearest folder upwards that holds ``conf/config.yaml``.

    start: where the search begins; None for the working directory.
    Raises `ConfigError` outside of a project.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "conf" / f"{CONFIG_NAME}.yaml").is_file():
            return folder
    raise ConfigError(
        f"No conf/{CONFIG_NAME}.yaml in {here} or above it: commands run inside a project. "
        "Go there with cd."
    )


def from_root(typed: str, *, here: Path, root: Path) -> str:
    """Return a path that a person typed in ``here``, as seen from the root.

    An absolute path, ``~``, a URL, and everything typed in the root itself stay as they are.
    """
    if here == root or "://" in typed or typed.startswith(("/", "~")):
        return typed
    return os.path.relpath(here / typed, root)


def groups_of(root: Path) -> list[str]:
    """Return the names of the groups: the folders of ``conf/``, without Hydra's own."""
    return sorted(p.name for p in (root / "conf").iterdir() if p.is_dir() and p.name != "hydra")


def options_of(group: str, root: Path) -> list[str]:
    """Return the names of a group's options; empty for a group that does not exist."""
    folder = root / "conf" / group
    paths = folder.rglob("*.yaml")
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in paths)
