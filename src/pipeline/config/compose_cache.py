"""A cache of composed settings in ``data/.composed.json``: composing takes most of a short command.

An entry is used only while ``conf/``, our code and the libraries that compose are the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pipeline import disk_cache
from pipeline.config.outside_inputs import outside_inputs_read
from pipeline.passwords import HIDDEN, hide_all

Values = TypeVar("Values")

CODE = ("config", "passwords.py")
MOST_KEPT = 20

_unwritten: dict[Path, dict[str, Any]] = {}  # file → what this command has composed, by its key


def cached(
    kind: str, overrides: Sequence[str], *, root: Path, compose: Callable[[], Values]
) -> Values:
    """Return what ``compose`` gives for these overrides, from the cache where it is there.

    A new value waits for `write_cache`. Not cached: a value that depends on more than ``conf/`` and
    the overrides, one with a password, and all values in a project without the folder ``data/``.
    kind: of the values, a part of the key.  compose: gives plain nested values.
    """
    file = _file(root)
    words = [kind, *hide_all(overrides)]
    if any(HIDDEN in word for word in words) or not file.parent.is_dir():
        return compose()
    key = _key(words, root)
    known = disk_cache.read(file) if key else {}
    if key in known:
        found: Values = known[key]
        return found
    with outside_inputs_read() as read:
        values = compose()
    # A file of conf/ may have changed meanwhile: then the key has changed too.
    if key and not read and HIDDEN not in _text(values) and _key(words, root) == key:
        new = _unwritten.setdefault(file, {})
        if len(new) < MOST_KEPT:
            new[key] = values
    return values


def write_cache(root: Path) -> None:
    """Write the new values. It is called when a command ends well: a failed one writes nothing."""
    values = _unwritten.pop(_file(root), None)
    _unwritten.clear()  # of another project, which a test or a notebook has read
    if values and _file(root).parent.is_dir():
        disk_cache.keep(_file(root), values, most=MOST_KEPT)


def _file(root: Path) -> Path:
    return root / "data" / ".composed.json"


def _key(words: Sequence[str], root: Path) -> str | None:
    try:
        return disk_cache.key_of(words, root=root, code=CODE)
    except (OSError, ValueError):  # a file that has just gone
        return None


def _text(values: Any) -> str:
    return json.dumps(values, default=str, skipkeys=True)
