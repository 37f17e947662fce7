"""Fixtures of all tests: one thread, so that two workers fit two cores, and small projects."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

ROOT = Path(__file__).parents[1]


# A file's tests run in one worker, which makes what they share once. The rooms whose files take
# minutes come first, so that no worker ends long after the other.
SLOW_ROOMS = ("verification", "sweep", "benchmarks", "commands", "config", "documents", "runs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow rooms."""
    places = {ROOT / "tests" / room: place for place, room in enumerate(SLOW_ROOMS)}
    items.sort(key=lambda item: places.get(item.path.parent, len(places)))


@pytest.fixture
def signals_of_a_terminal() -> Iterator[None]:
    """Signals as a command in a terminal meets them, also below a shell that ignores them."""
    reset = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in reset.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def make_project(root: Path) -> Path:
    """Give a folder the true ``conf/`` and a small prepared MNIST."""
    from small_mnist import write_prepared

    shutil.copytree(ROOT / "conf", root / "conf")
    (root / "mlruns").mkdir()
    write_prepared(root / "data" / "processed" / "mnist")
    return root


@pytest.fixture(autouse=True)
def no_store_is_left_behind() -> Iterator[None]:
    """A test that leaves a store in the environment fails, not a later one that starts processes.

    `mlflow.set_tracking_uri` does so: it writes the variable for child processes.
    """
    before = os.environ.get("MLFLOW_TRACKING_URI")
    yield
    assert os.environ.get("MLFLOW_TRACKING_URI") == before


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's root with the true ``conf/`` and a small prepared MNIST, as working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield make_project(tmp_path)


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has trained `trained_models.TINY` as ``mlp``, without tracking."""
    from trained_models import TINY, train_model

    root = make_project(tmp_path_factory.mktemp("trained"))
    train_model(root, *TINY, "tracking=none")
    return root


@pytest.fixture
def tiny_model(project: Path, trained_once: Path) -> Path:
    """A project with a tiny trained model ``mlp`` that no MLflow run knows."""
    for folder in ("models", "results"):
        shutil.copytree(trained_once / folder, project / folder)
    return project
