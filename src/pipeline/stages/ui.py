"""The command ``ui``: MLflow's own server over the project's record, for this machine only."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from pipeline.config import find_root
from pipeline.errors import ConfigError, TrackingError


def ui(arguments: Sequence[str]) -> int:
    """Replace this process by ``mlflow server`` on 127.0.0.1; ``port=`` chooses the port.

    Hosts are named explicitly (MLflow's default admits all private ranges), and job execution is
    off (it would add eight processes that nothing here uses).
    """
    port = _port(arguments)
    root = find_root()
    database = root / "mlflow.db"
    store = os.environ.get("MLFLOW_BACKEND_STORE_URI") or f"sqlite:///{database}"
    if store == f"sqlite:///{database}" and not database.is_file():
        raise TrackingError(f"{database}: no runs are recorded yet. Train a model first: pipeline train")
    hosts = f"localhost:{port},127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store]
    command += ["--default-artifact-root", (root / "mlruns").as_uri(), "--no-serve-artifacts"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--allowed-hosts", hosts, "--workers", "1"]
    print(f"http://127.0.0.1:{port}  (Ctrl-C ends it)", flush=True)
    environment = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    os.execve(sys.executable, command, environment)


def _port(arguments: Sequence[str]) -> int:
    port = 5000
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key != "port":
            raise ConfigError(f"{argument}: ui knows only port=<number>, for example port=5001")
        if not (value.isascii() and value.isdigit()) or not 1024 <= int(value) <= 65535:
            raise ConfigError(
                f"port={value}: must be a whole number from 1024 to 65535. Leave it out for 5000."
            )
        port = int(value)
    return port
