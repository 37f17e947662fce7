"""The database of studies: opened safely by many processes at once."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from filelock import FileLock, Timeout

from pipeline.disk import LARGEST_RESULT, RESULTS, check_disk
from pipeline.errors import SpaceError, SweepError
from pipeline.files import sqlite_file, sqlite_url
from pipeline.passwords import masked, reveal
from pipeline.sweep.budget import Budget

DEFAULT_STORAGE = "sqlite:///optuna.db"
# What SQLite says on a full disk, and where a limit on files stops it.
DISK_ERRORS = ("database or disk is full", "disk I/O error")
REFUSALS = ("42501", "25006")  # PostgreSQL's: no privilege, read only
ADVISORY_LOCK = 0x70697065  # "pipe": the same in every process that uses this package


@dataclass(frozen=True)
class Database:
    """A study's database: Optuna's view of it, and the same without a cache."""

    storage: optuna.storages.BaseStorage
    backend: optuna.storages.RDBStorage

    @property
    def engine(self) -> sqlalchemy.Engine:
        """The connection."""
        return self.backend.engine


def open_storage(url: str) -> Database:
    """Connect to the database of studies, and make its schema once.

    Many processes may begin together. Raises `SpaceError` for a storage of a kind that loses
    trials or claims, and `SweepError` where it cannot be reached.
    """
    if "://" not in url:
        raise SpaceError(f"storage={url}: must be a database URL, for example {DEFAULT_STORAGE}")
    if url in ("sqlite://", "sqlite:///", "sqlite:///:memory:"):
        raise SpaceError(
            f"storage={url}: is kept in memory, which workers cannot share. Use {DEFAULT_STORAGE}"
        )
    kind = url.partition("://")[0]
    if kind != "sqlite" and kind.partition("+")[0] not in ("postgres", "postgresql"):
        raise SpaceError(
            f"storage={masked(url)}: is no database for studies, which need SQLite or PostgreSQL. "
            f"Write it as {DEFAULT_STORAGE} or postgresql://<user>@<host>:<port>/<database>"
        )

    silence_optuna()
    url = with_driver(reveal(url))
    with _opening_errors(url), readable_errors(url), exclusive(url):
        backend = optuna.storages.RDBStorage(url, engine_kwargs=_engine_options(url))
        Budget(backend.engine, "", lease=1.0).make_table()
        return Database(optuna.storages.get_storage(backend), backend)


def forgotten_storage(launcher: Any) -> str:
    """Return the URL of a new database that nobody keeps, for ``storage: null``.

    It is a file in the folder for temporary files, since workers are processes of their own.
    Raises `SpaceError` for a launcher whose workers may run elsewhere.
    """
    if "submitit" in str(launcher._target_) or "ray" in str(launcher._target_):
        raise SpaceError(
            "storage=null: is kept in the memory of this machine, and this launcher's workers may "
            "run elsewhere. Name a server: storage=postgresql://<user>@<host>/<database>"
        )
    return sqlite_url(Path(tempfile.mkdtemp(prefix="pipeline-sweep-")) / "optuna.db")


def forget(url: str) -> None:
    """Remove what `forgotten_storage` made."""
    path = sqlite_file(url)
    assert path is not None
    shutil.rmtree(path.parent, ignore_errors=True)


def with_driver(url: str) -> str:
    """Return the URL with psycopg2 as the driver of ``postgresql://``.

    The extra ``postgres`` installs psycopg2; SQLAlchemy 2.1 would look for psycopg 3.
    """
    name, _, rest = url.partition("://")
    return f"postgresql+psycopg2://{rest}" if name in ("postgres", "postgresql") else url


def absolute_url(url: str) -> str:
    """Resolve a SQLite file against the working directory, for workers that start elsewhere."""
    path = sqlite_file(url)
    return url if path is None else sqlite_url(path.resolve())


def silence_optuna() -> None:
    """Turn off Optuna's own line for every trial: ours replaces it."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", message=".*is already reported.*")  # an epoch after a resume


def check_room(url: str, *, folder: Path) -> None:
    """Check that a study's folder and its database can be written; see `check_disk`."""
    database, places = sqlite_file(url), {folder: RESULTS}
    if database is not None and database.parent.is_dir():  # else the storage says what is missing
        places[database.parent] = RESULTS
    check_disk(places, largest=LARGEST_RESULT)


@contextlib.contextmanager
def exclusive(url: str) -> Iterator[None]:
    """Let one process at a time into the block, on one machine or many.

    SQLite: a lock on a file beside the database. PostgreSQL: an advisory lock of a transaction,
    which also holds behind a pool of connections, and which the server frees when its holder
    commits, fails or is killed. One process must not enter twice.
    """
    url = reveal(url)
    if url.startswith("postgres"):
        engine = sqlalchemy.create_engine(with_driver(url), poolclass=sqlalchemy.NullPool)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
            yield
        return
    path = sqlite_file(url)
    if path is None:
        yield
        return

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_writable(path.parent)
        lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=300)
        lock.acquire()
    except (OSError, Timeout) as error:
        raise SweepError(f"storage={url}: {error}. Name a folder that can be written.") from error
    try:
        yield
    finally:
        lock.release()


def _check_writable(folder: Path) -> None:
    """Raise `OSError` at once for a folder that takes no files; a lock would wait for minutes."""
    with tempfile.TemporaryFile(dir=folder):
        pass


@contextlib.contextmanager
def readable_errors(url: str) -> Iterator[None]:
    """Turn the errors of a database into one message for a person."""
    try:
        yield
    except (sqlalchemy.exc.DBAPIError, optuna.exceptions.StorageInternalError) as error:
        raise SweepError(f"storage={_without_password(url)}: {_said(error, url)}") from error


def _said(error: Exception, url: str) -> str:
    """Return what a database has said, with the way out."""
    found = error if isinstance(error, sqlalchemy.exc.DBAPIError) else error.__cause__
    inner = getattr(found, "orig", None) or found or error
    cause = str(inner).strip().splitlines()[0]
    if cause in DISK_ERRORS:
        return (
            f"cannot be written ({cause}). Free some space, "
            "or raise the limit (ulimit -f unlimited); the same command goes on."
        )
    if url.startswith("sqlite"):
        return f"{cause}. Name another file, or use {DEFAULT_STORAGE}"
    if getattr(inner, "pgcode", None) in REFUSALS:
        return (
            f"refuses its user: {cause}. Let this user write and make tables there, as the owner "
            "of the database may: ALTER DATABASE <database> OWNER TO <user>"
        )
    if isinstance(found, sqlalchemy.exc.OperationalError):
        return f"cannot be reached: {cause}. Start its server, or correct the URL."
    return f"cannot be used: {cause}. Correct the URL, or give studies a database of their own."


@contextlib.contextmanager
def _opening_errors(url: str) -> Iterator[None]:
    """Turn the errors of an address, a driver, or another program's tables into one message."""
    try:
        yield
    except RuntimeError as error:  # Optuna's, for a table `alembic_version` that it does not know
        raise SweepError(
            f"storage={_without_password(url)}: is the database of another program, such as "
            "MLflow, or of another version of Optuna. Give studies a database of their own."
        ) from error
    except ImportError as error:
        way_out = f"use {DEFAULT_STORAGE}"
        if url.startswith("postgres"):
            way_out = 'pip install "psycopg2-binary>=2.9", and begin the URL with postgresql://'
        raise SweepError(
            f"storage={_without_password(url)}: {str(error).splitlines()[0]}. "
            f"Its driver is missing: {way_out}"
        ) from error
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:  # a port that is no number
        raise SweepError(
            f"storage={_without_password(url)}: is no address of a database "
            f"({str(error).splitlines()[0]}). Write it as {DEFAULT_STORAGE} or "
            "postgresql://<user>@<host>:<port>/<database>"
        ) from error


def _engine_options(url: str) -> dict[str, Any]:
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": 120}}
    return {"pool_pre_ping": True, "pool_size": 2}


def _without_password(url: str) -> str:
    try:
        return str(sqlalchemy.engine.make_url(url))
    except (sqlalchemy.exc.ArgumentError, ValueError):
        return masked(url)
