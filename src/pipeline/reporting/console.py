"""The console that results are printed on."""

from __future__ import annotations

import os
import sys

from rich.console import Console

PIPE_WIDTH = 120


def console(*, in_pipe: int = PIPE_WIDTH) -> Console:
    """Return a console for the output: as wide as the terminal.

    Texts are printed as they are, without markup.
    in_pipe: columns in a file or a pipe, unless ``COLUMNS`` says another number.
    """
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    width = None if known else in_pipe
    return Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)
