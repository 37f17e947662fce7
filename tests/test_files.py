"""Writing in one step: what a killed process leaves is removed by the next write, and no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.files import scratch_folder, write_atomically

SOURCE = Path(__file__).parents[1] / "src"
KILLED_WHILE_IT_WRITES = """
import os, sys
from pathlib import Path
from pipeline import files
os.fsync = lambda number: os.kill(os.getpid(), 9)
files.write_atomically(Path(sys.argv[1]), b"half")
"""
KILLED_IN_ITS_SCRATCH = """
import os, sys
from pathlib import Path
from pipeline import files
with files.scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "part").write_text("half")
    os.kill(os.getpid(), 9)
"""


def kill(program: str, path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("program", [KILLED_WHILE_IT_WRITES, KILLED_IN_ITS_SCRATCH])
def test_what_a_killed_process_has_left_is_removed_by_the_next_write(
    program: str, tmp_path: Path
) -> None:
    path = tmp_path / "a[1].json"
    write_atomically(path, b"before")
    kill(program, path)
    assert len(list(tmp_path.iterdir())) == 2 and path.read_bytes() == b"before"
    write_atomically(path, b"after")
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == b"after"
    kill(program, path)
    with scratch_folder(path):
        pass
    assert list(tmp_path.iterdir()) == [path]


def test_what_others_write_at_this_moment_stays(tmp_path: Path) -> None:
    path, machine = tmp_path / "a", os.uname().nodename
    others = [
        f".a.{machine}-{os.getppid()}.tmp",  # a process that lives
        f".a.{machine}-x.tmp",
        f".a.another-machine-{2**22 + 1}.tmp",
        f".ab.{machine}-{2**22 + 1}.tmp",  # of another file
        ".a.tmp",
    ]
    for name in others:
        (tmp_path / name).write_text("")
    write_atomically(path, b"")
    assert {each.name for each in tmp_path.iterdir()} == {"a", *others}


def test_a_scratch_folder_ends_with_its_block(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), scratch_folder(tmp_path / "a" / "b") as folder:
        assert folder.is_dir() and folder.parent == tmp_path / "a"
        (folder / "part").write_text("")
        raise ValueError("inside")
    assert list((tmp_path / "a").iterdir()) == []
