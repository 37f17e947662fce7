"""MLflow's stores and servers that are there already: making one takes longer than a test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.tracking.faulty_server import Server

from pipeline.tracking import Tracker
from pipeline.tracking.store import Store


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite store with MLflow's schema and without runs."""
    folder = tmp_path_factory.mktemp("store")
    _ = Store(f"sqlite:///{folder / 'mlflow.db'}", root=folder).client
    return folder / "mlflow.db"


@pytest.fixture
def tracker(project: Path, empty_store: Path) -> Tracker:
    """The tracker of a project with an empty store."""
    shutil.copyfile(empty_store, project / "mlflow.db")
    return Tracker("sqlite:///mlflow.db", experiment="mnist", root=project)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Server]:
    """A real server of MLflow, with an empty store, for the tests of one file."""
    server = Server(tmp_path_factory.mktemp("server"))
    shutil.copyfile(empty_store, server.folder / "server.db")
    server.start()
    yield server
    server.kill()
