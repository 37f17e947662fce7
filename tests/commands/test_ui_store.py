"""``pipeline ui`` shows the store that trainings write into, whichever way it was named."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.errors import TrackingError

OTHER = "sqlite:///other.db"


@pytest.fixture
def served(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of MLflow's server, once the command has become it."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_BACKEND_STORE_URI"):
        monkeypatch.delenv(name, raising=False)
    for name in ("mlflow.db", "other.db"):
        with closing(sqlite3.connect(project / name)) as database:
            database.execute("CREATE TABLE x (y)")
    words: list[str] = []
    monkeypatch.setattr(os, "execve", lambda _, command, __: words.extend(command))
    return words


def store_in(words: list[str]) -> str:
    return words[words.index("--backend-store-uri") + 1]


def test_the_project_s_own_record_is_shown(served: list[str]) -> None:
    cli.call("ui", ["port=5998"])
    assert store_in(served) == "sqlite:///mlflow.db"


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_URI", "MLFLOW_BACKEND_STORE_URI"])
def test_the_store_of_the_environment_is_shown(
    variable: str, served: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, OTHER)
    cli.call("ui", ["port=5998"])
    assert store_in(served) == OTHER


def test_the_store_of_the_configuration_is_shown(served: list[str], project: Path) -> None:
    file = project / "conf" / "tracking" / "mlflow.yaml"
    file.write_text(file.read_text().replace("sqlite:///mlflow.db", OTHER))
    cli.call("ui", ["port=5998"])
    assert store_in(served) == OTHER


def test_a_configuration_that_is_wrong_hides_no_runs(served: list[str], project: Path) -> None:
    (project / "conf" / "tracking" / "mlflow.yaml").write_text("no_such_key: 1\n")
    cli.call("ui", ["port=5998"])
    assert store_in(served) == "sqlite:///mlflow.db"


def test_a_server_is_opened_where_it_is(served: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:s3cret@host:5000")
    with pytest.raises(TrackingError, match=r"https://me:\*\*\*@host:5000: runs are recorded on"):
        cli.call("ui", ["port=5998"])
    assert served == []
