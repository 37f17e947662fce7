"""One run of a command: a process group of its own, with a time limit, that never outlives us."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import CommandError

_POLL_S = 0.1
_GRACE_S = 5.0  # between the request to end and the end
_SHOWN_LINES = 6


class Stopped(Exception):
    """Another run failed, or a signal came, before this one ended."""


def run_command(
    words: Sequence[str], *, logs: Path, timeout_s: float | None, stop: threading.Event
) -> None:
    """Run a command to its end in the working directory; no shell reads its words.

    logs: path whose ``.out`` and ``.err`` take its output.  stop: ends it when set.
    Raises `CommandError` where it is not found, fails, or takes too long, and `Stopped`.
    """
    logs.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{logs}.out").open("wb") as out, Path(f"{logs}.err").open("wb") as err:
        try:
            process = subprocess.Popen(
                list(words),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except OSError as error:
            raise CommandError(f"{words[0]} cannot be started ({error.strerror})") from error
    mark = Path(f"{logs}.running")
    try:
        mark.write_text(f"{process.pid} {_birth(process.pid)}")
        code = _awaited(process, timeout_s, stop)
    finally:
        _end(process)
        mark.unlink(missing_ok=True)
    if code:
        raise CommandError(f"it {_ending(code)}. Its last lines:\n{last_lines(logs)}")


def end_orphans(folder: Path) -> None:
    """End the commands that a killed verification has left running."""
    for mark in folder.glob("*.running"):
        with contextlib.suppress(OSError, ValueError):
            group, birth = mark.read_text().split()
            if birth == _birth(int(group)):
                os.killpg(int(group), signal.SIGKILL)
        mark.unlink(missing_ok=True)


def last_lines(logs: Path) -> str:
    """Return the end of what a run printed: of its errors, else of its output."""
    for suffix in (".err", ".out"):
        lines = Path(f"{logs}{suffix}").read_text(errors="replace").splitlines()
        lines = [line for line in lines if line.strip()][-_SHOWN_LINES:]
        if lines:
            return "\n".join(f"  {line[:300]}" for line in lines)
    return "  (it printed nothing)"


def _awaited(
    process: subprocess.Popen[bytes], timeout_s: float | None, stop: threading.Event
) -> int:
    begun = time.monotonic()
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=_POLL_S)
        if stop.is_set():
            raise Stopped
        if timeout_s is not None and time.monotonic() - begun > timeout_s:
            raise CommandError(f"it ran longer than timeout={timeout_s:g} seconds, and was ended")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole group of a process, gently first; do nothing where it has ended."""
    if process.poll() is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_GRACE_S)
            # Its children may be slower than itself.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return


def _ending(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"failed with exit code {code}"


def _birth(process: int) -> str:
    """Return when a process began, in ticks since the boot; a dash where nobody knows."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "-"
