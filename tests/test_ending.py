"""A command's process ends at once, and nothing that was to be written is lost."""

from __future__ import annotations

import gzip
import os
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
    code: str, folder: Path, *options: str, code_of_end: int = 3, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, which `end` then ends."""
    lines = f"{code}\nfrom pipeline.ending import end\nend({code_of_end})\n"
    environment = {**os.environ, **variables}
    environment.pop("PYTHONUNBUFFERED", None)
    (folder / "script.py").write_text(lines)
    return subprocess.run(
        [sys.executable, *options, "script.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


def test_the_exit_code_is_that_of_the_command_and_no_destructor_runs(tmp_path: Path) -> None:
    # multiprocessing gives the script a second name.
    done = ended(f"import multiprocessing\n{DESTRUCTOR}", tmp_path)
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


def test_what_a_persons_own_module_writes_when_it_ends_is_written(tmp_path: Path) -> None:
    own = "import gzip\nfile = gzip.open('written.gz', 'wt')\nfile.write('all')\n"
    (tmp_path / "own.py").write_text(own)
    assert ended("import own", tmp_path).returncode == 3
    assert gzip.decompress((tmp_path / "written.gz").read_bytes()) == b"all"


def test_what_a_library_in_c_has_printed_is_shown(tmp_path: Path) -> None:
    assert ended("import ctypes; ctypes.CDLL(None).printf(b'out')", tmp_path).stdout == "out"


def test_ctrl_c_at_the_end_waits_no_longer(tmp_path: Path) -> None:
    code = (
        "import os, signal, threading\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "stop = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))\n"
        "stop.daemon = True; stop.start()\n"
    )
    assert ended(code, tmp_path).returncode == 3


def test_what_was_printed_is_shown(tmp_path: Path) -> None:
    done = ended("import sys; print('out', end=''); sys.stderr.write('err')", tmp_path)
    assert (done.stdout, done.stderr) == ("out", "err")


def test_an_error_at_the_end_is_shown(tmp_path: Path) -> None:
    done = ended("import atexit; atexit.register(lambda: 1 / 0)", tmp_path)
    assert done.returncode == 3 and "ZeroDivisionError" in done.stderr


RUN = "import runpy, sys; runpy.run_path(sys.argv[1])"


@pytest.mark.parametrize(
    "options", [["-m", "cProfile"], ["-m", "pdb", "-c", "continue"], ["-c", RUN], ["-i"]]
)
def test_what_goes_on_afterwards_gets_the_process_back(tmp_path: Path, options: list[str]) -> None:
    done = ended(DESTRUCTOR, tmp_path, *options)
    assert "destructor" in done.stdout


def test_a_library_that_is_loaded_before_python_is_ended_too(tmp_path: Path) -> None:
    assert "destructor" in ended(DESTRUCTOR, tmp_path, LD_PRELOAD="libc.so.6").stdout


@pytest.mark.parametrize("line", [["-m", "pipeline"], ["-m", "pipeline.cli"]])
def test_the_command_line_ends_so(tmp_path: Path, line: list[str]) -> None:
    # Without a file it is no module of a person's own.
    (tmp_path / "sitecustomize.py").write_text(f"{DESTRUCTOR}\ndel __file__\n")
    done = subprocess.run(
        [sys.executable, *line, "no-such-command"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: no-such-command: unknown command")
