"""A command line as a test types it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.commands.command import Call
from pipeline.commands.parse import parse
from pipeline.commands.registry import load


def read_line(command: str, *words: str) -> Call[Any]:
    """The options and settings of a line, typed in the project's root."""
    here = Path.cwd()
    return parse(command, load(command), words, here=here, root=here)
