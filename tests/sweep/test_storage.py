"""The database of studies: what a person meets where its address or its file is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import SpaceError, SweepError
from pipeline.sweep.storage import open_storage, readable_errors
from pipeline.sweep.study import open_study


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://me@host:54x2/db", "no address of a database .*Write it as"),
        ("postgresql+psycopg_lost://me@host/db", "no address of a database .*Write it as"),
        (
            "postgresql+asyncpg://me@host/db",
            "driver is missing: .*begin the URL with postgresql://",
        ),
    ],
)
def test_a_wrong_address_is_one_message(url: str, said: str) -> None:
    with pytest.raises(SweepError, match=said):
        open_storage(url)


@pytest.mark.parametrize("kind", ["mysql", "mysql+pymysql", "mssql", "my-db", "sqlite+aiosqlite"])
def test_a_database_of_another_kind_is_refused_without_its_password(kind: str) -> None:
    with pytest.raises(SpaceError, match="need SQLite or PostgreSQL") as refusal:
        open_storage(f"{kind}://me:s3cret@host/db")
    assert "s3cret" not in str(refusal.value)


def test_a_file_that_is_no_database_is_named_and_stays_as_it_is(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("to do\n" * 1000)
    with pytest.raises(SweepError, match=r"notes\.txt: file is not a database\. Name another"):
        open_storage(f"sqlite:///{notes}")
    assert notes.read_text() == "to do\n" * 1000


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), ImportError("no rich")])
def test_an_error_of_other_code_is_not_told_as_one_of_the_database(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)), readable_errors("sqlite:///optuna.db"):
        raise error


def test_a_name_that_a_server_would_cut_is_refused(tmp_path: Path) -> None:
    database = open_storage(f"sqlite:///{tmp_path / 'optuna.db'}")
    wanted = {"directions": ["minimize"], "signature": {}, "folder": "multirun"}
    assert open_study(database, "s" * 255, **wanted).study_name == "s" * 255
    with pytest.raises(SpaceError, match="has 256 characters; at most 255"):
        open_study(database, "s" * 256, **wanted)
