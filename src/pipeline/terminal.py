"""What a terminal or a pipe can do: signs that it cannot show, a reader that has left."""

from __future__ import annotations

import codecs
import io
import re
import select
import sys
from typing import TextIO

# Signs of our own texts in plain ASCII, for a terminal that cannot show them.
PLAIN = str.maketrans(
    {"…": "...", "→": "->", "–": "-", "—": "-", "•": "*", "²": "^2", "√": "sqrt", "±": "+-"}
)


# Signs that move the cursor, colour the screen, ring, or turn the direction of writing.
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Return a text whose control characters and marks of direction are written out.

    The name of a file or a class can hold them. Printed, ``\\x1b[2J`` would clear the screen.
    """
    return _INVISIBLE.sub(lambda found: ascii(found[0])[1:-1], text)


def has_lost_its_reader(stream: TextIO) -> bool:
    """Return whether a stream leads into a pipe that nobody reads any more."""
    watch = select.poll()
    watch.register(stream, 0)  # a closed pipe is reported without being asked for
    return bool(watch.poll(0))


def survive_any_encoding() -> None:
    """Print signs that the terminal cannot show as plain ones, instead of failing."""

    def replaced(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        text = error.object[error.start : error.end].translate(PLAIN)
        return text.encode("ascii", "replace").decode(), error.end

    codecs.register_error("plain", replaced)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")
