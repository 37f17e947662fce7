"""The command ``ui``: MLflow's own server over the project's record, for this machine only."""

from __future__ import annotations

import os
import socket
import sys
from typing import Annotated

from pydantic import Field

from pipeline.commands.command import Call, Command, Options
from pipeline.errors import ConfigError, TrackingError


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
    database = root / "mlflow.db"
    own = "sqlite:///mlflow.db"  # the working directory is the root, whatever signs its path has
    store = os.environ.get("MLFLOW_BACKEND_STORE_URI") or own
    if store == own and not database.is_file():
        raise TrackingError(
            f"{database}: no runs are recorded yet. Train a model first: pipeline train"
        )
    _check_free(port)
    from pipeline.tracking import mend_project, training_page

    if store == own:
        mend_project(root)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store]
    command += ["--default-artifact-root", (root / "mlruns").as_uri(), "--no-serve-artifacts"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--allowed-hosts", f"localhost:{port},127.0.0.1:{port}"]
    page = training_page(database if store == own else None)
    print(f"http://127.0.0.1:{port}/{page}  (Ctrl-C ends it)", flush=True)
    environment = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    os.execve(sys.executable, command, environment)


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
