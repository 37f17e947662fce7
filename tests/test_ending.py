"""A command's process ends at once, and nothing that was to be written is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DESTRUCTOR = """
class Kept:
    def __del__(self):
        print("destructor")

kept = Kept()
"""


def ended(
    code: str, folder: Path, *options: str, code_of_end: int = 3
) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, which `end` then ends."""
    lines = f"{code}\nfrom pipeline.ending import end\nend({code_of_end})\n"
    (folder / "script.py").write_text(lines)
    return subprocess.run(
        [sys.executable, *options, "script.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


def test_the_exit_code_is_that_of_the_command_and_no_destructor_runs(tmp_path: Path) -> None:
    done = ended(DESTRUCTOR, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")


@pytest.mark.parametrize(
    "work",
    [
        "import atexit; atexit.register(lambda: open('written', 'w').write('all'))",
        "file = open('written', 'w'); file.write('all')",
        "file = open('written', 'wb'); file.write(b'all')",
        "file = open('written', 'w+b'); file.write(b'all')",
        "import tempfile, weakref\n"
        "class A: ...\n"
        "a = A(); weakref.finalize(a, lambda: open('written', 'w').write('all'))",
        "import threading, time\n"
        "def late():\n"
        "    time.sleep(0.5)\n"
        "    open('written', 'w').write('all')\n"
        "threading.Thread(target=late).start()",
        "import concurrent.futures, time\n"
        "def late():\n"
        "    time.sleep(0.5)\n"
        "    open('written', 'w').write('all')\n"
        "pool = concurrent.futures.ThreadPoolExecutor(); pool.submit(late)",
        "import multiprocessing, time\n"
        "def late():\n"
        "    time.sleep(0.5)\n"
        "    open('written', 'w').write('all')\n"
        "multiprocessing.get_context('fork').Process(target=late).start()",
    ],
    ids=["atexit", "text", "bytes", "both", "finalize", "thread", "pool", "process"],
)
def test_what_is_still_to_be_written_is_written(tmp_path: Path, work: str) -> None:
    done = ended(work, tmp_path)
    assert (done.returncode, done.stderr) == (3, "")
    assert (tmp_path / "written").read_text() == "all"


def test_what_was_printed_is_shown(tmp_path: Path) -> None:
    done = ended("import sys; print('out', end=''); sys.stderr.write('err')", tmp_path)
    assert (done.stdout, done.stderr) == ("out", "err")


def test_an_error_at_the_end_is_shown(tmp_path: Path) -> None:
    done = ended("import atexit; atexit.register(lambda: 1 / 0)", tmp_path)
    assert done.returncode == 3 and "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize("options", [["-m", "cProfile"], ["-i"]], ids=["profiler", "interactive"])
def test_a_profiler_and_a_session_get_the_process_back(tmp_path: Path, options: list[str]) -> None:
    done = ended(DESTRUCTOR, tmp_path, *options)
    assert "destructor" in done.stdout


@pytest.mark.parametrize("line", [["-m", "pipeline"], ["-m", "pipeline.cli"]])
def test_the_command_line_ends_so(tmp_path: Path, line: list[str]) -> None:
    (tmp_path / "sitecustomize.py").write_text(DESTRUCTOR)
    done = subprocess.run(
        [sys.executable, *line, "no-such-command"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: no-such-command: unknown command")
