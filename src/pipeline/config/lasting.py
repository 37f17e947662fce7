"""Compositions that an earlier command has made: read again in place of being made again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pipeline import remembered
from pipeline.config.surroundings import surroundings_read
from pipeline.passwords import HIDDEN, hide_all

Values = TypeVar("Values")

CODE = ("config", "passwords.py")
MOST_KEPT = 20

_new: dict[Path, dict[str, Any]] = {}  # file → what this command has composed, by its key


def lasting(
    kind: str, overrides: Sequence[str], *, root: Path, compose: Callable[[], Values]
) -> Values:
    """Return what ``compose`` gives for these overrides, from an earlier call where there is one.

    `keep_new` keeps it in ``data/.composed.json`` where the folder ``data/`` is there already,
    unless it may differ the next time, or has a password that only composing hides.
    kind: of the values.  compose: gives plain nested values.
    """
    file = _file(root)
    words = [kind, *hide_all(overrides)]
    if any(HIDDEN in word for word in words) or not file.parent.is_dir():
        return compose()
    key = _key(words, root)
    known = remembered.read(file) if key else {}
    if key in known:
        found: Values = known[key]
        return found
    with surroundings_read() as read:
        values = compose()
    # Whoever changes conf/ meanwhile changes the key.
    if key and not read and HIDDEN not in _text(values) and _key(words, root) == key:
        new = _new.setdefault(file, {})
        if len(new) < MOST_KEPT:
            new[key] = values
    return values


def keep_new(root: Path) -> None:
    """Write what was composed here, once a command has ended well: a failed one changes nothing."""
    values = _new.pop(_file(root), None)
    _new.clear()  # of another project, which a test or a notebook has read
    if values and _file(root).parent.is_dir():
        remembered.keep(_file(root), values, most=MOST_KEPT)


def _file(root: Path) -> Path:
    return root / "data" / ".composed.json"


def _key(words: Sequence[str], root: Path) -> str | None:
    try:
        return remembered.key_of(words, root=root, code=CODE)
    except (OSError, ValueError):  # a file that has just gone
        return None


def _text(values: Any) -> str:
    return json.dumps(values, default=str, skipkeys=True)
