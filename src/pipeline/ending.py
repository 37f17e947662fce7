"""The end of a process, without the 1.4 s in which Python takes torch's modules apart."""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import os
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import NoReturn

# The functions that lie above the code of ``python -m``.
BY_PYTHON = ("_run_code", "_run_module_as_main")


def end(code: int) -> NoReturn:
    """End the process with an exit code, as `sys.exit` does, but free nothing.

    Everything that may hold unwritten work has its turn first, in Python's own order: threads are
    waited for, the functions of `atexit` run, open files are flushed. Destructors do not run.
    Python ends in its own way where they may matter, or other code goes on: with a person's own
    modules, under a debugger, a profiler or ``runpy``, beside a preloaded library, for ``-i``.
    """
    own_way = sys.flags.interactive or sys.flags.inspect or os.environ.get("LD_PRELOAD")
    if own_way or not _is_outermost() or _has_own_code():
        sys.exit(code)
    with contextlib.suppress(KeyboardInterrupt):  # nobody waits for the threads any longer
        threading._shutdown()  # type: ignore[attr-defined]  # as Py_FinalizeEx begins
    atexit._run_exitfuncs()
    _flush_open_files()
    os._exit(code)


def _is_outermost() -> bool:
    """Whether Python itself runs the program, and no other code that goes on afterwards."""
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_filename != "<frozen runpy>" or frame.f_code.co_name not in BY_PYTHON:
            return False
    return True


def _has_own_code() -> bool:
    """Whether a module is neither Python's, nor installed, nor ours: it may write when it ends."""
    package = Path(__file__).parent
    folders = (Path(os.__file__).parent, package, package.parent / "hydra_plugins")
    known = tuple(f"{folder}/" for folder in folders)
    modules = [each for each in sys.modules.values() if isinstance(each, ModuleType)]
    script = sys.modules["__main__"]  # its only line calls us
    files = (vars(each).get("__file__") for each in modules if each is not script)
    others = (file for file in files if isinstance(file, str) and not file.startswith(known))
    return not all("/site-packages/" in file or "/dist-packages/" in file for file in others)


def _flush_open_files() -> None:
    """Write what own code has left in the buffers of files that it did not close."""
    text_first = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
    files = [each for each in gc.get_objects() if type(each) in text_first]
    for file in sorted(files, key=lambda file: text_first.index(type(file))):
        with contextlib.suppress(OSError, ValueError):  # closed, or its reader has left
            file.flush()
    if ctypes := sys.modules.get("ctypes"):  # what libraries in C have printed
        ctypes.PyDLL(None).fflush(None)
