"""Ctrl-C, SIGTERM and SIGHUP: one line, the exit code by convention, and no traceback.

While Python imports, a signal ends the process at once: an import that is cut in the middle leaves
a traceback, and nothing is done yet. Once the work has begun, the signal is an exception, so that
the run's record is closed and its checkpoints stay. A second signal ends the process at once, and
the workers that it has started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHELLS = ("sh", "bash", "dash", "zsh", "ash", "ksh", "fish")
POLL_S = 1.0
# After this time a stage whose DVC is gone ends, whatever it is doing.
MOST_S_TO_END = 60.0


class Interrupted(KeyboardInterrupt):
    """A signal has asked this process to end."""


class _State:
    """What the handler needs to know; a handler takes no arguments of ours."""

    received: int | None = None
    working = False
    hint = "the same command starts anew"


def set_hint(hint: str) -> None:
    """Set how to go on after an interruption, for the last line: "the same command goes on …"."""
    _State.hint = hint


def work_begins() -> None:
    """Let a signal from now on unwind the work, also in an import."""
    _State.working = True


def received() -> int | None:
    """Return the signal that has asked this process to end, or None."""
    return _State.received


def line() -> str:
    """Return the line that a person reads at the end."""
    number = _State.received or signal.SIGINT
    word = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
    return f"{word}: {_State.hint}."


def exit_code() -> int:
    """Return 130, 143 or 129: 128 and the number of the signal, as shells have it."""
    return 128 + (_State.received or signal.SIGINT)


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Handle the three signals inside the block; one that is ignored (nohup, &) stays ignored."""
    _State.received, _State.working = None, False
    _State.hint = "the same command starts anew"
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, _handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _handle(number: int, frame: FrameType | None) -> None:
    if _State.received is not None:
        _end_at_once(128 + number)
    _State.received = number
    if not _State.working and _importing(frame):
        with contextlib.suppress(OSError):
            os.write(2, f"{line()}\n".encode(errors="replace"))
        os._exit(128 + number)
    raise Interrupted


def _end_at_once(code: int) -> NoReturn:
    """End this process without unwinding it; its workers would train on without it."""
    for file in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in file.read_text().split():
                os.kill(int(child), signal.SIGTERM)
    os._exit(code)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def end_with_dvc() -> None:
    """End this process soon after the DVC that started it as a stage; elsewhere do nothing.

    DVC waits for its stages, but a DVC that is killed leaves them running.
    """
    if not os.environ.get("DVC_STAGE"):
        return
    parent = os.getppid()
    above = _parent_of(parent) if _name_of(parent) in SHELLS else None  # DVC → shell → stage
    threading.Thread(target=_watch, args=(parent, above), daemon=True).start()


def _watch(parent: int, above: int | None) -> None:
    while os.getppid() == parent and (above is None or _parent_of(parent) == above):
        time.sleep(POLL_S)
    with contextlib.suppress(OSError, ValueError):
        print("DVC has ended, so this stage ends too.", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(MOST_S_TO_END)
    _end_at_once(128 + signal.SIGTERM)


def _stat_of(process: int) -> list[str]:
    """Return name and the further fields of ``/proc/<id>/stat``; empty without it."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return []
    name, _, rest = text.partition("(")[2].rpartition(")")
    return [name, *rest.split()]


def _parent_of(process: int) -> int | None:
    fields = _stat_of(process)
    return int(fields[2]) if fields else None


def _name_of(process: int) -> str:
    return next(iter(_stat_of(process)), "")
