"""Commands in odd surroundings: other encodings, closed pipes, subfolders, read-only projects."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from command_line import read_line
from pipeline import cli
from pipeline.commands.parse import parse
from pipeline.commands.registry import load
from pipeline.commands.unwritable import noted_if_read_only
from pipeline.config import find_root
from pipeline.errors import DataError, SweepError
from pipeline.sweep.storage import open_storage

SOURCE = Path(__file__).parents[2] / "src"
# Root, but without the right to write where nobody may.
POWERLESS = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]


def pipeline(
    *words: str, at: Path, before: Sequence[str] = (), **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a command line as a process of its own."""
    return subprocess.run(
        [*before, sys.executable, "-m", "pipeline", *words],
        cwd=at,
        env={**os.environ, "PYTHONPATH": str(SOURCE), **environment},
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_help_survives_an_encoding_without_its_signs(encoding: str, project: Path) -> None:
    done = pipeline("train", "--help", at=project, PYTHONIOENCODING=encoding)
    assert done.returncode == 0
    assert done.stderr == b""
    assert b"[group=option] [key=value] ..." in done.stdout  # … in UTF-8


def test_a_message_survives_ascii(project: Path) -> None:
    done = pipeline("train", "name=müll", at=project, PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: name=m?ll: ")


def test_a_closed_pipe_leaves_no_traceback(tmp_path: Path) -> None:
    command = f"{sys.executable} -m pipeline train --help | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, check=True)
    assert done.stderr == b""
    assert done.stdout in (b"0\n", b"141\n")  # 0 where the help was read before the pipe closed


def test_a_broken_connection_elsewhere_is_an_error_with_its_message(tmp_path: Path) -> None:
    program = (
        "import sys; from pipeline import cli\n"
        "def broken(words): raise BrokenPipeError(32, 'Broken pipe')\n"
        "cli._run = broken; sys.exit(cli.main())"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: [Errno 32] Broken pipe")


@pytest.fixture
def subfolder(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder below the root, as working directory."""
    folder = project / "notes" / "today"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def test_the_root_is_found_from_a_subfolder(subfolder: Path) -> None:
    assert find_root() == subfolder.parents[1]


@pytest.mark.parametrize(
    ("command", "word", "seen"),
    [
        ("preprocess", "data.path=photos", "data.path=notes/today/photos"),
        ("preprocess", "data.path=/photos", "data.path=/photos"),
        ("preprocess", "data.path=~/photos", "data.path=~/photos"),
        ("download", "data.mirror=http://x/mnist", "data.mirror=http://x/mnist"),
        ("download", "data.mirror=../mnist", "data.mirror=notes/mnist"),
        ("preprocess", "data.path='my (own)'", "data.path='notes/today/my (own)'"),
    ],
)
def test_a_typed_path_is_relative_to_the_person(
    command: str, word: str, seen: str, subfolder: Path
) -> None:
    call = parse(command, load(command), [word], here=subfolder, root=subfolder.parents[1])
    assert call.settings == (seen,)


def test_other_processes_of_a_run_are_started_with_the_same_line(
    subfolder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = subfolder.parent / "pipeline"
    program.touch()
    monkeypatch.setattr(sys, "argv", ["../pipeline", "reproduce", "name=mlp"])
    with pytest.raises(DataError, match="name=mlp"):
        cli.call("reproduce", ["name=mlp"])
    assert Path(sys.argv[0]).is_absolute()
    assert Path(sys.argv[0]).samefile(program)
    assert sys.argv[1:] == ["reproduce", "name=mlp"]


def test_a_picture_is_relative_to_the_person(subfolder: Path) -> None:
    call = parse("predict", load("predict"), ["a.png"], here=subfolder, root=subfolder.parents[1])
    assert call.options.paths == (Path("notes/today/a.png"),)


def test_in_the_root_paths_stay_as_typed(project: Path) -> None:
    assert read_line("predict", "../a.png").options.paths == (Path("../a.png"),)


@pytest.mark.slow
def test_a_training_from_a_subfolder_writes_into_the_root(subfolder: Path) -> None:
    cli.call("train", ["model.width=8", "trainer.max_epochs=1"])
    root = subfolder.parents[1]
    assert (root / "models" / "mlp" / "model.json").is_file()
    assert (root / "mlflow.db").is_file()
    assert list(root.glob("outputs/*/*/.hydra/config.yaml"))
    assert list(subfolder.iterdir()) == []


@pytest.mark.slow
def test_a_sweep_whose_trials_change_their_folder_writes_where_it_always_does(
    project: Path,
) -> None:
    line = ["model.width=8,9", "trainer.max_epochs=1", "tracking=none", "hydra.job.chdir=true"]
    cli.call("train", ["-m", *line])
    models = project.glob("multirun/*/*/[01]/models/mlp/model.json")
    assert len(list(models)) == 2


def test_a_storage_that_cannot_be_written_is_refused_at_once() -> None:
    with pytest.raises(SweepError, match="Name a folder that can be written"):
        open_storage("sqlite:////proc/x.db")


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_a_read_only_project_is_one_message(project: Path) -> None:
    for path in (project, *project.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = POWERLESS if os.geteuid() == 0 else []
    done = pipeline("train", "tracking=none", at=project, before=before)
    for path in (project, *project.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    (message,) = done.stderr.decode().splitlines()
    assert message.startswith("error: ")
    assert "cannot be written or read (Permission denied). Work in a copy of the" in message


def test_an_answer_is_given_where_its_picture_cannot_be_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with noted_if_read_only("the picture"):
        raise PermissionError(13, "Permission denied", "results/cnn")
    assert capsys.readouterr().err == (
        "note: the picture was not written: results/cnn: Permission denied\n"
    )


def test_other_errors_of_the_disk_are_raised() -> None:
    with pytest.raises(OSError, match="No space left"), noted_if_read_only("the picture"):
        raise OSError(28, "No space left on device")
