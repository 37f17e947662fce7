"""A project that was moved or copied: the files of its runs are those beside its database.

MLflow keeps absolute paths. After ``mv`` or ``cp -r`` they name the old folder: new files would go
there, and old ones would not be found, or be read from there. So a store that lies in a project is
mended when it is opened, and reading and writing find the files by what is in the project's
``mlruns/``. Files whose counterpart is not there stay where they are.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from pipeline.files import sqlite_file

FOLDER = "mlruns"
BUSY_S = 60.0  # to wait for another process that writes
# Where MLflow keeps paths: table, column.
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def embedded(uri: str, root: Path) -> Path | None:
    """Return the database of a store that lies in the project's root; None for any other store."""
    file = sqlite_file(uri)
    return file.absolute() if file and file.resolve().parent == root.resolve() else None


def mend_project(root: Path) -> None:
    """Mend the database of a project, if it has one; see `mend`."""
    mend(root / "mlflow.db", root)


def mend(database: Path, root: Path) -> int:
    """Let the database name the files in this project wherever they are there; return how many.

    A database that cannot be written, or has no tables yet, stays as it is.
    """
    mended = 0
    folder = root / FOLDER
    inside = [f"{folder.as_uri()}/", f"{folder}/"]
    for table, column in _PLACES:
        elsewhere = f"SELECT DISTINCT {column} FROM {table} WHERE {column} LIKE '%/{FOLDER}/%'" + (
            f" AND substr({column}, 1, ?) <> ?" * len(inside)
        )
        values = [value for prefix in inside for value in (len(prefix), prefix)]
        with contextlib.suppress(sqlite3.Error), _opened(database) as connection:
            found = connection.execute(elsewhere, values).fetchall()
            moves = [(new, old) for (old,) in found if (new := here(old, root)) != old]
            with connection:
                connection.executemany(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", moves)
            mended += len(moves)
    if mended:
        print(
            f"note: this project was moved or copied. {database.name} names its {FOLDER}/ now.",
            file=sys.stderr,
        )
    return mended


def rename(database: Path, old: str, new: str) -> None:
    """Replace one path in a database."""
    with contextlib.suppress(sqlite3.Error), _opened(database) as connection:
        for table, column in _PLACES[:3]:
            with connection:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? WHERE {column} = ?", [new, old]
                )


def here(location: str, root: Path) -> str:
    """Return the place in this project of what an address names, if it is there; else the address.

    location: an absolute path, or a ``file:`` address, as MLflow keeps them.
    """
    for candidate in counterparts(location, root):
        if candidate.exists():
            return _as(location, candidate)
    return location


def brought_here(location: str, root: Path) -> str:
    """Return the place in this project of a run's files, to write more of them.

    Files that are elsewhere only are copied first, so that the run stays whole.
    """
    place = here(location, root)
    path = local_path(location)
    if place != location or path is None:
        return place
    target = next(counterparts(location, root), None)
    if target is None:
        return location
    if path.is_dir():
        shutil.copytree(path, target, symlinks=True)
    return _as(location, target)


def folder_here(location: str, root: Path, database: Path | None) -> Path | None:
    """Return the folder to write files into that an address names; None where it is on no disk.

    In a project that was moved, it is the new place, which the database then names too.
    database: of the project; None for a store that is not the project's own.
    """
    place = location
    if database is not None:
        place = brought_here(location, root)
        if place != location:
            rename(database, location, place)
    return local_path(place)


def counterparts(location: str, root: Path) -> Iterator[Path]:
    """Yield where the same files would lie in this project; nothing for a place inside it."""
    path = local_path(location)
    if path is None or path.is_relative_to(root / FOLDER) or ".." in path.parts:
        return
    for index in reversed(range(len(path.parts))):
        if path.parts[index] == FOLDER and path.parts[index + 1 :]:
            yield root.joinpath(FOLDER, *path.parts[index + 1 :])


def local_path(location: str) -> Path | None:
    """Return the path that an address names; None for a place that is on no disk."""
    if location.startswith("file:"):
        return Path(unquote(location.removeprefix("file:").removeprefix("//")))
    return None if "://" in location or not location.startswith("/") else Path(location)


def command_to_bring(location: str, root: Path) -> str | None:
    """Return the command that copies a folder which is elsewhere into this project, or None."""
    path = local_path(location)
    target = next(counterparts(location, root), None)
    if path is None or target is None or not path.is_dir():
        return None
    into = shlex.quote(str(target))
    return f"mkdir -p {into} && cp -r {shlex.quote(f'{path}/.')} {into}"


def _as(location: str, path: Path) -> str:
    return path.as_uri() if location.startswith("file:") else str(path)


@contextlib.contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    if not database.is_file():  # opening it would make it
        raise sqlite3.OperationalError(f"{database} is not there")
    with contextlib.closing(sqlite3.connect(database, timeout=BUSY_S)) as connection:
        yield connection
