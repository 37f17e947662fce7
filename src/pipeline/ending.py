"""The end of a process, without the 1.4 s in which Python takes torch's modules apart."""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import os
import sys
import threading
from typing import NoReturn


def end(code: int) -> NoReturn:
    """End the process with an exit code, as `sys.exit` does, but free nothing.

    Everything that may hold unwritten work has its turn first, in Python's own order: threads are
    waited for, the functions of `atexit` run, open files are flushed. Destructors do not run.
    Under a debugger or a profiler, and for ``python -i``, the interpreter ends in its own way.
    """
    if sys.getprofile() or sys.gettrace() or sys.flags.interactive or sys.flags.inspect:
        sys.exit(code)
    threading._shutdown()  # type: ignore[attr-defined]  # as Py_FinalizeEx begins
    atexit._run_exitfuncs()
    _flush_open_files()
    os._exit(code)


def _flush_open_files() -> None:
    """Write what own code has left in the buffers of files that it did not close."""
    text_first = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
    files = [each for each in gc.get_objects() if type(each) in text_first]
    for file in sorted(files, key=lambda file: text_first.index(type(file))):
        with contextlib.suppress(OSError, ValueError):  # closed, or its reader has left
            file.flush()
