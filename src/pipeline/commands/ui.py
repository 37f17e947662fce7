"""The command ``ui``: MLflow's own server over the project's record, for this machine only."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline.commands.command import Call, Command, Options
from pipeline.errors import ConfigError, TrackingError
from pipeline.files import sqlite_file
from pipeline.passwords import masked, reveal

OWN = "sqlite:///mlflow.db"  # the working directory is the root, whatever signs its path has


class UiOptions(Options):
    """Options of ``pipeline ui``."""

    port: Annotated[int, Field(ge=1024, le=65535)] = Field(
        5000, description="port of the server on 127.0.0.1"
    )


def run(call: Call[UiOptions]) -> int:
    """Replace this process by ``mlflow server`` on 127.0.0.1.

    Hosts are named explicitly (MLflow's default admits all private ranges), and job execution is
    off (it would add eight processes that nothing here uses).
    """
    root, port = call.root, call.options.port
    store = _store(root)
    database = sqlite_file(store)
    if database is not None and not (root / database).is_file():
        raise TrackingError(
            f"{root / database}: no runs are recorded yet. Train a model first: pipeline train"
        )
    _check_free(port)
    from pipeline.tracking import mend_project, training_page

    if store == OWN:
        mend_project(root)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store]
    command += ["--default-artifact-root", (root / "mlruns").as_uri(), "--no-serve-artifacts"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--allowed-hosts", f"localhost:{port},127.0.0.1:{port}"]
    page = training_page(None if database is None else root / database)
    print(f"http://127.0.0.1:{port}/{page}  (Ctrl-C ends it)", flush=True)
    environment = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    os.execve(sys.executable, command, environment)


def _store(root: Path) -> str:
    """Return the address of the database that trainings write into.

    Raises `TrackingError` where they write to a server, which has pages of its own.
    """
    from pipeline.config import compose

    named = [os.environ.get(f"MLFLOW_{each}_URI") for each in ("BACKEND_STORE", "TRACKING")]
    configured = OWN
    with contextlib.suppress(ConfigError):  # a configuration that is being edited hides no runs
        configured = compose([], root=root).settings.tracking.uri
    store = next((uri for uri in named if uri), configured)
    if store.startswith(("http://", "https://")):
        raise TrackingError(
            f"{masked(store)}: runs are recorded on this server, so open it in the browser. "
            "To see the project's own record: MLFLOW_BACKEND_STORE_URI=sqlite:///mlflow.db"
        )
    return reveal(store)


def _check_free(port: int) -> None:
    """Raise `ConfigError` for a port that another program listens on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(
                f"port={port}: another program uses it. Choose another port: "
                f"pipeline ui port={port + 1 if port < 65535 else port - 1}"
            ) from error


COMMAND = Command(options=UiOptions, run=run, examples=("pipeline ui", "pipeline ui port=5001"))
