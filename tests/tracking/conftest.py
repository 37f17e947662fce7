"""An MLflow store whose schema is there already: making it takes longer than a whole test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

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
