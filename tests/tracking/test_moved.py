"""A project that was moved or copied: reading and writing meet the files beside its database."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest

from pipeline.tracking import Tracker, missing_files, read_artifact
from pipeline.tracking.moved import counterparts, embedded, here, mend

STORE = "sqlite:///mlflow.db"


@pytest.fixture
def old(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a run ``one`` that has a file; another project is the working directory."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / "old folder"
    root.mkdir()
    shutil.copyfile(empty_store, root / "mlflow.db")
    write(root, "one")
    return root


def write(root: Path, name: str) -> None:
    run = Tracker(STORE, experiment="mnist", root=root).start(name, tags={})
    run.log_text(name, "name.txt")
    run.finish()


def id_of(root: Path, name: str) -> str:
    with contextlib.closing(sqlite3.connect(root / "mlflow.db", timeout=60)) as database:
        ((run_id,),) = database.execute("SELECT run_uuid FROM runs WHERE name = ?", [name])
    return str(run_id)


def read(root: Path, run_id: str, name: str, folder: Path) -> str | None:
    folder.mkdir()
    path = read_artifact(run_id, name, uri=STORE, root=root, folder=folder)
    return path.read_text() if path else None


def contents(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): path.read_text()
        for path in sorted((root / "mlruns").rglob("*"))
        if path.is_file()
    }


def moved(old: Path, new: Path) -> None:
    shutil.move(old, new)


def copied(old: Path, new: Path) -> None:
    shutil.copytree(old, new)
    for path in (old / "mlruns").rglob("name.txt"):
        path.write_text("of the old project")


def linked(old: Path, new: Path) -> None:
    new.symlink_to(old, target_is_directory=True)


@pytest.mark.parametrize("way", [moved, copied, linked])
def test_reading_and_writing_meet_the_files_beside_the_database(
    way: Callable[[Path, Path], None], old: Path, tmp_path: Path
) -> None:
    one = id_of(old, "one")
    new = tmp_path / "new"
    way(old, new)
    before = contents(old) if way is copied else {}

    assert read(new, one, "name.txt", tmp_path / "first") == "one"
    with Tracker(STORE, experiment="mnist", root=new).reopened(one) as run:
        run.log_text("added", "more.txt")
    write(new, "two")

    two = id_of(new, "two")
    assert contents(new) == {
        f"mlruns/mnist/{one}/artifacts/name.txt": "one",
        f"mlruns/mnist/{one}/artifacts/more.txt": "added",
        f"mlruns/mnist/{two}/artifacts/name.txt": "two",
    }
    if way is copied:
        assert contents(old) == before
    if way is moved:
        assert not old.exists()
    # MLflow itself finds the same files, by what its database says.
    client = mlflow.MlflowClient(f"sqlite:///{new / 'mlflow.db'}")
    for run_id, text in ((one, "one"), (two, "two")):
        place = tmp_path / f"copy of {text}"
        place.mkdir()
        assert Path(client.download_artifacts(run_id, "name.txt", str(place))).read_text() == text


def test_a_database_that_cannot_be_written_is_read_with_the_files_beside_it(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tmp_path / "new"
    copied(old, new)
    monkeypatch.setattr("pipeline.tracking.moved.mend", lambda *_: 0)
    assert read(new, id_of(new, "one"), "name.txt", tmp_path / "copy") == "one"


def test_files_that_are_elsewhere_only_are_told_with_the_command_that_brings_them(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = id_of(old, "one")
    new = tmp_path / "new folder"
    new.mkdir()
    shutil.copyfile(old / "mlflow.db", new / "mlflow.db")
    assert read(new, one, "name.txt", tmp_path / "first") == "one"
    told = capsys.readouterr().err
    assert f"read from {old}/mlruns/mnist/{one}/artifacts, outside of this project" in told
    subprocess.run(told.partition("To bring them here: ")[2].strip(), shell=True, check=True)
    shutil.rmtree(old)
    assert read(new, one, "name.txt", tmp_path / "second") == "one"
    assert missing_files(one, uri=STORE, root=new) is None


def test_a_run_whose_files_are_elsewhere_takes_them_along_when_it_gets_more(
    old: Path, tmp_path: Path
) -> None:
    one = id_of(old, "one")
    new = tmp_path / "new"
    new.mkdir()
    shutil.copyfile(old / "mlflow.db", new / "mlflow.db")
    before = contents(old)
    write(new, "two")
    with Tracker(STORE, experiment="mnist", root=new).reopened(one) as run:
        run.log_text("added", "more.txt")
    folder, of_two = (f"mlruns/mnist/{run_id}/artifacts" for run_id in (one, id_of(new, "two")))
    assert contents(new) == {
        f"{folder}/name.txt": "one",
        f"{folder}/more.txt": "added",
        f"{of_two}/name.txt": "two",
    }
    assert contents(old) == before


def test_files_that_are_nowhere_are_told(old: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    moved(old, new)
    shutil.rmtree(new / "mlruns")
    told = missing_files(id_of(new, "one"), uri=STORE, root=new)
    assert told is not None
    assert f"{old}/mlruns" in told
    assert told.endswith(f"Copy the mlruns/ of the project that trained it to {new}/mlruns.")


def test_a_store_that_projects_share_stays_as_it_is(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = id_of(old, "one")
    other = tmp_path / "other"
    shutil.copytree(old / "mlruns", other / "mlruns")
    shared = f"sqlite:///{old / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shared)
    with Tracker(STORE, experiment="mnist", root=other).reopened(one) as run:
        run.log_text("added", "more.txt")
    assert f"mlruns/mnist/{one}/artifacts/more.txt" in contents(old)
    assert len(contents(other)) == 1


def test_a_note_is_made_once(old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = tmp_path / "new"
    moved(old, new)
    assert mend(new / "mlflow.db", new) > 0
    assert "this project was moved or copied" in capsys.readouterr().err
    assert mend(new / "mlflow.db", new) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("file:///old/mlruns/mnist/1/artifacts", ["mnist/1/artifacts"]),
        ("/old/mlruns/mnist/1/artifacts", ["mnist/1/artifacts"]),
        ("file:///o%20ld/mlruns/a%23b/1", ["a#b/1"]),
        ("file:///mlruns/old/mlruns/mnist", ["mnist", "old/mlruns/mnist"]),
        ("file:///old/mlruns", []),
        ("file:///old/mlruns/../../etc/passwd", []),
        ("file:///old/elsewhere/mnist", []),
        ("file:///new/mlruns/mnist", []),
        ("mlflow-artifacts:/1/2/artifacts", []),
        ("s3://bucket/mlruns/1", []),
        ("mlruns/mnist", []),
    ],
)
def test_the_places_where_files_may_lie_in_this_project(location: str, expected: list[str]) -> None:
    found = list(counterparts(location, Path("/new")))
    assert found == [Path("/new/mlruns") / path for path in expected]


def test_an_address_keeps_its_form(tmp_path: Path) -> None:
    (tmp_path / "mlruns" / "a b").mkdir(parents=True)
    assert here("/old/mlruns/a b", tmp_path) == f"{tmp_path}/mlruns/a b"
    assert here("file:///old/mlruns/a%20b", tmp_path) == f"{tmp_path.as_uri()}/mlruns/a%20b"
    assert here("file:///old/mlruns/c", tmp_path) == "file:///old/mlruns/c"


@pytest.mark.parametrize(
    ("uri", "inside"),
    [
        ("sqlite:///{root}/mlflow.db", True),
        ("sqlite:///{root}/other.db", True),
        ("sqlite:///{root}/inner/mlflow.db", False),
        ("sqlite:////elsewhere/mlflow.db", False),
        ("http://127.0.0.1:5000", False),
        ("postgresql://host/db", False),
    ],
)
def test_only_a_database_in_the_root_belongs_to_the_project(
    uri: str, inside: bool, tmp_path: Path
) -> None:
    assert (embedded(uri.format(root=tmp_path), tmp_path) is not None) is inside
