"""A project whose path has signs that an address reads as its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy

from conftest import make_project
from pipeline.files import sqlite_file, sqlite_url
from pipeline.sweep.storage import absolute_url, open_storage
from pipeline.tracking.connection import store_uri

SOURCE = Path(__file__).parents[2] / "src"
ODD = ["a b", "a%20b", "a?b", "a#b", "a%3Fb", "ä", "a'b"]


@pytest.mark.parametrize("name", ODD)
def test_an_address_and_its_file_are_each_others_inverse(name: str, tmp_path: Path) -> None:
    path = tmp_path / name / "x.db"
    assert sqlite_file(sqlite_url(path)) == path
    assert sqlalchemy.make_url(sqlite_url(path)).database == str(path)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "postgresql://h/d", "http://h"])
def test_an_address_of_no_file_has_none(url: str) -> None:
    assert sqlite_file(url) is None


@pytest.mark.parametrize("name", ODD)
def test_studies_lie_in_the_project(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    open_storage(absolute_url("sqlite:///optuna.db"))
    assert (tmp_path / name / "optuna.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ODD)
def test_the_record_lies_in_the_project(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / name
    root.mkdir()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(root)
    url = store_uri("sqlite:///mlflow.db", root)
    engine = sqlalchemy.create_engine(url)
    with engine.connect():
        pass
    assert (root / "mlflow.db").is_file()
    # MLflow makes the folder of the address as it stands.
    assert Path(url.removeprefix("sqlite:///")).parent.resolve() == root


@pytest.mark.slow
def test_a_training_and_a_sweep_leave_nothing_beside_the_project(tmp_path: Path) -> None:
    root = tmp_path / "a%20b?c#d"
    root.mkdir()
    make_project(root)
    small = ["model.width=8", "trainer.max_epochs=1", "data.fraction=0.1"]
    for line in (["train", *small], ["train", "-m", *small, "seed=1,2", "study_name=s"]):
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *line],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "warning" not in done.stderr
    assert (root / "mlflow.db").is_file() and (root / "optuna.db").is_file()
    assert list(root.glob("mlruns/**/config.json"))
    assert [path.name for path in tmp_path.iterdir()] == [root.name]
