"""``preprocess`` and ``download`` with nothing to do: found without composing the settings again.

Composing takes ten times as long as a look at the files. So a call that has ended well notes what
its words meant. The note holds while ``conf/``, the code and the libraries are the same. Then only
the files are checked, as ever. In every other case the command runs in full. Only the standard
library is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import disk_cache
from pipeline.terminal import visible

MOST_NOTES = 50


def is_up_to_date(name: str, words: Sequence[str], *, root: Path) -> bool:
    """Return whether a command has nothing to do. If so, print the lines that it would print.

    words: after the command's name, typed in the root.
    """
    check = _CHECKS.get(name)
    if check is None or any(word.startswith("-") for word in words):
        return False
    try:
        key = _key(name, words, root)
        facts = disk_cache.read(_file(root)).get(key) if key else None
        lines = check(facts, root) if facts is not None else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False  # a damaged note, or a file that has just gone
    for line in lines or ():
        print(visible(line))
    return lines is not None


def note(name: str, words: Sequence[str], facts: Mapping[str, Any], *, root: Path) -> None:
    """Note what the words of a command meant: its next call looks at the files only.

    facts: of ``preprocess`` the directory, settings and sources of its `Preparation` and the lines
    to print; of ``download`` the name of the data set.  Paths are relative to the root or absolute.
    """
    key = _key(name, words, root)
    if key is not None:
        disk_cache.keep(_file(root), {key: facts}, most=MOST_NOTES)


def _prepared(facts: Mapping[str, Any], root: Path) -> list[str] | None:
    from pipeline.data.unchanged import Preparation

    sources = [root / source for source in facts["sources"]]
    preparation = Preparation(
        root / facts["directory"], settings=facts["settings"], sources=sources
    )
    return list(facts["lines"]) if preparation.is_done() else None


def _downloaded(facts: Mapping[str, Any], root: Path) -> list[str] | None:
    from pipeline.data.manifest import DATASETS
    from pipeline.data.official import is_official

    name = facts["data"]
    directory, files = root / "data" / "raw" / name, DATASETS[name].files
    if any(directory.glob(".*.part")):  # left by a killed download; a full run removes it
        return None
    if not all(is_official(file, directory=directory) for file in files):
        return None
    present = [f"{directory / file.name} is present and correct." for file in files]
    return [*present, downloaded_line(name, len(files))]


# The files of ``commands/`` that decide what a command does.
_COMMAND_FILES = {
    "preprocess": ("commands/preprocess.py", "commands/preprocess_sources.py"),
    "download": ("commands/download.py",),
}
_CHECKS: dict[str, Callable[[Mapping[str, Any], Path], list[str] | None]] = {
    "preprocess": _prepared,
    "download": _downloaded,
}


def downloaded_line(name: str, num_files: int) -> str:
    """Return the last line of a download."""
    return f"{name}: {num_files} official files in data/raw/{name}/"


def _file(root: Path) -> Path:
    return root / "data" / ".settled.json"


def _key(name: str, words: Sequence[str], root: Path) -> str | None:
    """Return the key of a command's words; see `disk_cache.key_of`."""
    code = ("config", "data", *_COMMAND_FILES[name], "commands/up_to_date.py")
    return disk_cache.key_of([name, *words], root=root, code=code)
