"""Caches in files of the project: what was computed, under a hash of all that decided it.

A hash of the content stands before it, so a damaged file counts as missing. Only the standard
library is imported at the top.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Libraries that compose and validate settings.
LIBRARIES = (
    "hydra-core",
    "omegaconf",
    "antlr4-python3-runtime",
    "PyYAML",
    "pydantic",
    "pydantic-core",
)
MOST_FILES, MOST_BYTES = 2_000, 1_000_000


def key_of(words: Sequence[str], *, root: Path, code: Sequence[str]) -> str | None:
    """Return a hash of the words of a command and of all files that decide what they mean.

    None where other files may decide it too: then nothing is cached.
    code: files and folders of this package, such as ``config``, which read the words.
    """
    settings = _conf_files(root / "conf")
    if settings is None or "searchpath" in " ".join(words):
        return None
    digest = fingerprint(libraries=LIBRARIES, code=code)
    digest.update(json.dumps(list(words)).encode())
    for line in sorted(set(_plugins())):  # a path may name a folder twice, or in another order
        digest.update(line.encode(errors="surrogateescape"))
    for file in settings:
        content = file.read_bytes()
        if b"searchpath" in content:  # files elsewhere decide too
            return None
        where = str(file.relative_to(root))
        digest.update(f"{where} {len(content)} ".encode(errors="surrogateescape") + content)
    return digest.hexdigest()


def fingerprint(*, libraries: Sequence[str], code: Sequence[str] = (".",)) -> hashlib._Hash:
    """Return a hash of Python's version, of libraries and of our code, to be updated with more.

    code: files and folders of this package; without them all of it.
    """
    digest = hashlib.sha256(sys.version.encode())
    for library in libraries:
        with contextlib.suppress(PackageNotFoundError):
            digest.update(f"{library} {version(library)} ".encode())
    for file in _code((Path(__file__).name, *code)):
        digest.update(file.read_bytes())
    return digest


def read(file: Path) -> dict[str, Any]:
    """Return the answers in a file by their keys; none for a file that is missing or damaged."""
    try:
        return dict(json.loads(read_sealed(file) or b"{}"))
    except (ValueError, TypeError, RecursionError):
        return {}


def read_sealed(file: Path) -> bytes | None:
    """Return what `write_sealed` has written; None for a file that is missing or damaged."""
    try:
        if not file.is_file() or file.stat().st_size > MOST_BYTES:
            return None
        digest, _, content = file.read_bytes().partition(b"\n")
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest().encode() == digest else None


def recall(file: Path) -> bytes | None:
    """Return what `read_sealed` does, and mark the file as used last, for `remove_oldest`."""
    content = read_sealed(file)
    if content is not None:
        with contextlib.suppress(OSError):
            os.utime(file)
    return content


def write_sealed(file: Path, content: bytes) -> None:
    """Write content behind its hash. Does nothing where the file cannot be written."""
    from pipeline.files import write_atomically

    digest = hashlib.sha256(content).hexdigest().encode()
    with contextlib.suppress(OSError):  # a read-only project finds the content anew
        write_atomically(file, digest + b"\n" + content)


def remove_oldest(folder: Path, *, most: int) -> None:
    """Remove all files of a folder but the ``most`` that were used last."""
    with contextlib.suppress(OSError):  # another process may remove them too
        files = sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime_ns)
        for file in files[:-most]:
            file.unlink()


def keep(file: Path, answers: Mapping[str, Any], *, most: int) -> None:
    """Add answers by their keys to a file, as the newest of at most ``most``.

    An answer that JSON would change is left out. Does nothing where the file cannot be written.
    """
    known = read(file)
    new = {key: answer for key, answer in answers.items() if _survives(answer)}
    if all(key in known and known[key] == answer for key, answer in new.items()):
        return
    kept = [(key, answer) for key, answer in known.items() if key not in new]
    write_sealed(file, json.dumps(dict([*kept, *new.items()][-most:])).encode())


def _survives(answer: Any) -> bool:
    """Whether an answer comes back as it was; a key that is a number would not."""
    try:
        return repr(json.loads(json.dumps(answer))) == repr(answer)
    except (TypeError, ValueError, RecursionError):
        return False


def _code(names: Sequence[str]) -> Iterator[Path]:
    here = Path(__file__).parent
    for name in names:
        place = here / name
        yield from sorted(place.rglob("*.py")) if place.is_dir() else [place]


def _plugins() -> Iterator[str]:
    """Yield a line for each file of Hydra's plugins: they may add folders to search."""
    spec = find_spec("hydra_plugins")
    for folder in (spec and spec.submodule_search_locations) or ():
        for place, folders, files in os.walk(folder):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            for name in sorted(files):
                found = Path(place, name).stat()
                yield f"{place}/{name} {found.st_size} {found.st_mtime_ns} "


def _conf_files(conf: Path) -> list[Path] | None:
    """Return the files of ``conf/``; None where it has linked folders, pipes or large files."""
    found: list[Path] = []
    for place, folders, files in os.walk(conf):
        if any(Path(place, folder).is_symlink() for folder in folders):
            return None
        found += (Path(place, file) for file in files)
        if len(found) > MOST_FILES:
            return None
    fit = all(path.is_file() and path.stat().st_size <= MOST_BYTES for path in found)
    return sorted(found) if fit else None
