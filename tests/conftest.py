"""What all tests share: one thread (so that two workers fit two cores), and a small project to run in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's root with the true ``conf/`` and a small prepared MNIST, as working directory."""
    from small_mnist import write_prepared

    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "mlruns").mkdir()
    write_prepared(tmp_path / "data" / "processed" / "mnist")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield tmp_path
