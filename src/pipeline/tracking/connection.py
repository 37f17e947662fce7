"""The connection to an MLflow store: the import of MLflow, the address, the errors."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

from pipeline.errors import TrackingError
from pipeline.passwords import masked

SQLITE = "sqlite:///"
MAX_REASON = 160  # letters
_SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks", "uc")


def load_mlflow() -> Any:
    """Import MLflow, without its telemetry and without its messages about migrations."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # The shipper's thread would print addresses in the middle of other output.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # By default MLflow waits several minutes for a server that is away. A person waits here.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It prints the traceback of each error of the database, which we tell in one line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    transport = logging.getLogger("urllib3.connectionpool")
    if _tells_nothing_of_mlflow not in transport.filters:
        transport.addFilter(_tells_nothing_of_mlflow)
    return mlflow


def _tells_nothing_of_mlflow(record: logging.LogRecord) -> bool:
    """Drop what the transport says about requests to MLflow: we tell it in a line of our own."""
    return not any("/mlflow" in str(argument) for argument in record.args or ())


def store_errors() -> tuple[type[Exception], ...]:
    """Return all errors that MLflow, its database, its transport, and the disk raise."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    return (MlflowException, SQLAlchemyError, RequestException, OSError)


def first_line(error: Exception) -> str:
    """Return the first line of an error's message without its full stop, or the error's class."""
    return masked(next(iter(str(error).splitlines()), type(error).__name__).rstrip("."))


def short_reason(error: Exception) -> str:
    """Return why a store failed in a few words; the libraries below MLflow nest theirs deeply."""
    line = first_line(error)
    if of_database := re.search(r"\(\w+\.\w*Error\) ([^\n]+)", str(error)):
        line = masked(of_database[1])
    cause = re.search(r"Caused by \w+\((.*?)\)*$", line)
    if cause:
        line = cause[1].strip("'\"").rpartition(": ")[2]
    return line if len(line) <= MAX_REASON else f"{line[: MAX_REASON - 1]}…"


def store_uri(configured: str, root: Path) -> str:
    """Return the address of the store.

    ``MLFLOW_TRACKING_URI`` wins over the configuration. A relative SQLite file lies below the
    project's root, also where a command runs in another folder.
    """
    return absolute(os.environ.get("MLFLOW_TRACKING_URI") or configured, root)


def absolute(uri: str, root: Path) -> str:
    """Return an address with the absolute path of a SQLite file below the project's root."""
    path = uri.removeprefix(SQLITE)
    if path == uri or path.startswith("/"):
        return uri
    file = root / path
    # An address reads these signs as its own, and MLflow makes folders by the address as it stands.
    # The way from the working directory, most often the root itself, has none of them.
    return f"{SQLITE}{os.path.relpath(file) if set(str(file)) & set('%?') else file}"


def kept(uri: str, root: Path) -> str:
    """Return an address as files and messages keep it: without a password, relative to the root.

    So a project that is moved finds its own store.
    """
    path = uri.removeprefix(SQLITE)
    file = Path(path).absolute()
    if path != uri and file.is_relative_to(root):
        return f"{SQLITE}{file.relative_to(root)}"
    return masked(uri)


def check_address(uri: str) -> None:
    """Raise `TrackingError` for an address that can never be a store; nothing is connected."""
    scheme = uri.partition(":")[0]
    path = Path(uri.removeprefix(SQLITE))
    if scheme.partition("+")[0] not in _SCHEMES:
        reason = f"MLflow's stores begin with one of {', '.join(_SCHEMES)}"
    elif uri.startswith(SQLITE) and not path.parent.is_dir():
        reason = f"{path.parent} is not a folder"
    else:
        return
    raise TrackingError(
        f"tracking.uri={masked(uri)}: the store cannot be used: {reason}. "
        "Correct it, set MLFLOW_TRACKING_URI to another store, or train with tracking=none."
    )
