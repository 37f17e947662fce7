"""Ctrl-C, SIGTERM and SIGHUP: the exit code by convention, one line, no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pipeline import interruption
from pipeline.config import compose
from pipeline.errors import ConfigError
from pipeline.models.build import Architecture, check_logits
from pipeline.sweep.outcome import result_of

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
pytestmark = pytest.mark.usefixtures("signals_of_a_terminal")
ENDS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]

# A command line whose work is the text of a program: it prints `ready` where a signal may come.
BEGIN = """
import signal, sys, time
from pipeline import cli, interruption
def run(words):
"""
END = "\ncli._run = run\nsys.exit(cli.main())\n"
IMPORTING = BEGIN + "    import slow_module" + END
WORKING = (
    BEGIN
    + """
    interruption.work_begins()
    interruption.set_hint("the same command goes on")
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("closed", flush=True)
"""
    + END
)
SWALLOWED = (
    BEGIN
    + """
    interruption.work_begins()
    try:
        print("ready", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        raise ImportError("something was imported by halves")
"""
    + END
)
STUBBORN = (
    BEGIN
    + """
    interruption.work_begins()
    try:
        print("ready", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("closing", flush=True)
        time.sleep(60)
"""
    + END
)


def started(program: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(SOURCE), str(folder)])
    process = subprocess.Popen(
        [sys.executable, "-c", program, "train"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("number", "code"), ENDS)
def test_a_signal_while_importing_leaves_no_traceback(
    number: int, code: int, tmp_path: Path
) -> None:
    # The module turns the exception into another one, as libraries do that are cut in an import.
    text = (
        "import time\nprint('ready', flush=True)\n"
        "try:\n    time.sleep(60)\nexcept BaseException:\n    raise SystemError('half a module')\n"
    )
    (tmp_path / "slow_module.py").write_text(text)
    process = started(IMPORTING, tmp_path)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code
    (line,) = told.splitlines()
    assert line.endswith(": the same command starts anew.")


@pytest.mark.parametrize("program", [WORKING, SWALLOWED], ids=["unwound", "turned into an error"])
@pytest.mark.parametrize(("number", "code"), ENDS)
def test_a_signal_at_work_unwinds_it(number: int, code: int, program: str, tmp_path: Path) -> None:
    process = started(program, tmp_path)
    process.send_signal(number)
    printed, told = process.communicate(timeout=60)
    assert process.returncode == code
    assert printed == ("closed\n" if program is WORKING else "")
    (line,) = told.splitlines()
    word = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
    assert line.startswith(f"{word}: the same command ")


class Swallowing(nn.Module):
    """A network that is cut by a signal, and makes an error of its own of it."""

    def forward(self, images: Tensor) -> Tensor:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        except KeyboardInterrupt:
            raise ValueError("cut in the middle") from None
        return images


def test_a_signal_is_no_mistake_of_a_network() -> None:
    settings = compose([], root=ROOT).settings
    built = Architecture(
        settings.model, settings.activation, settings.init, input_shape=(1, 2, 2), num_classes=2
    )
    with interruption.handled(), pytest.raises(ValueError, match="cut in the middle"):
        check_logits(Swallowing(), built)
    with pytest.raises(ConfigError, match="gives"):
        check_logits(nn.Identity(), built)


def test_a_trial_that_a_signal_cuts_has_not_failed() -> None:
    """The exception of its job is what a library has made of the signal."""

    class Job:
        @property
        def return_value(self) -> float:
            Swallowing()(torch.zeros(1))
            return 0.0

    with interruption.handled(), pytest.raises(KeyboardInterrupt):
        result_of(Job(), None, count=1)  # type: ignore[arg-type]


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    process = started(STUBBORN, tmp_path)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stdout.readline() == "closing\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_a_second_signal_ends_the_workers_too(tmp_path: Path) -> None:
    program = STUBBORN.replace(
        'print("closing"',
        'import subprocess; print(subprocess.Popen(["sleep", "300"], stdout=2).pid',
    )
    process = started(program, tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)  # the worker holds stderr, so this waits until it is ending
    assert process.returncode == 143
    deadline = time.monotonic() + 60
    while has_not_ended(worker):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def has_not_ended(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_what_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    program = WORKING.replace("import signal, sys, time", NOHUP)
    process = started(program, tmp_path)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143


NOHUP = "import signal, sys, time\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)"

PARENT = """
import subprocess, sys, os
child = subprocess.Popen(sys.argv[1], shell=True, executable="/bin/sh", stdout=subprocess.PIPE)
print(child.stdout.readline().decode().strip(), flush=True)
child.wait()
"""
STAGE = """
import os, sys, time
from pipeline import interruption
with interruption.handled():
    interruption.end_with_dvc()
    try:
        print(os.getpid(), flush=True)  # its reader may kill at once
        time.sleep(120)
    finally:
        open("ended", "w").close()
"""


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("tail", ["", "; true"], ids=["direct", "below a shell"])
def test_a_stage_ends_with_its_dvc(kill: int, tail: str, tmp_path: Path) -> None:
    (tmp_path / "stage.py").write_text(STAGE)
    dvc = subprocess.Popen(
        [sys.executable, "-c", PARENT, f"{sys.executable} stage.py{tail}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "DVC_STAGE": "train"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert dvc.stdout is not None
    stage = int(dvc.stdout.readline())
    dvc.send_signal(kill)
    dvc.wait()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{stage}").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not Path(f"/proc/{stage}").exists()
    assert (tmp_path / "ended").exists()
