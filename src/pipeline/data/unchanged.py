"""Whether a preparation would give again the data that is there.

A note beside a prepared folder holds the settings, the code and the libraries, and the size, the
times and the hash of each file that was read or written. A file whose size and times are as noted
is taken as unchanged. Otherwise its hash decides, so a project that was copied or checked out
anew is recognised too. Whatever does not fit is prepared again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.data.file_names import SUFFIXES, is_visible

# Libraries that decode images, split them, or fit the baselines.
LIBRARIES = ("numpy", "pillow", "scikit-learn", "scipy")
# A file that changed shortly before it was noted may change again within one tick of its clock.
SETTLED_NS = 2_000_000_000
_LINK, _FOLDER, _NO_IMAGE = "link", "folder", "no image"

Stamp = list[Any]  # size, time of the content, time of the entry, number of the file


class Preparation:
    """The note on one prepared folder.

    directory: the prepared folder.  settings: that decide the content.  sources: the files that
    are read, and folders of images; of other files in those only the names count.
    Make it before the sources are read: a file that changes meanwhile must not be noted.
    """

    def __init__(
        self, directory: Path, *, settings: Mapping[str, Any], sources: Sequence[Path]
    ) -> None:
        self._directory = directory
        self.sources = sources
        self._identity = _identity(settings)
        self._read = dict(_listed(sources))

    @property
    def path(self) -> Path:
        """The file of the note."""
        return self._directory.with_name(f".{self._directory.name}.prepared.json")

    def is_done(self) -> bool:
        """Whether the prepared folder holds what this preparation would write."""
        try:
            noted = json.loads(self.path.read_text(encoding="utf-8"))
            known, when = noted["files"], noted["noted_ns"]
            if noted["identity"] != self._identity:
                return False
            found = {**self._read, **self._written()}
            if found.keys() != known.keys():
                return False
            doubtful = [key for key in found if not _is_as_noted(found[key], known[key], when)]
            if any(_content(found[key]) != known[key]["content"] for key in doubtful):
                return False
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False
        if doubtful:
            with contextlib.suppress(OSError):  # a read-only project is looked at more slowly
                self._write({key: _described(found[key], known[key]["content"]) for key in found})
        return True

    def note(self) -> None:
        """Note that the folder has been written; nothing where a source has changed meanwhile."""
        if {k: v[1] for k, v in _listed(self.sources)} != {k: v[1] for k, v in self._read.items()}:
            self.path.unlink(missing_ok=True)
            return
        found = {**self._read, **self._written()}
        self._write({key: _described(entry, _content(entry)) for key, entry in found.items()})

    def _written(self) -> dict[str, tuple[Path, Stamp]]:
        files = sorted(self._directory.iterdir())
        return {f"written: {path.name}": (path, _stamp(path)) for path in files}

    def _write(self, files: Mapping[str, Any]) -> None:
        from pipeline.files import write_atomically  # imports more than a look at files needs

        noted = {"identity": self._identity, "noted_ns": time.time_ns(), "files": files}
        write_atomically(self.path, json.dumps(noted).encode())


def _identity(settings: Mapping[str, Any]) -> str:
    """Return a hash of the settings, of this room's code, and of the libraries' versions."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name in LIBRARIES:
        digest.update(f"{name} {version(name)} ".encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _listed(sources: Sequence[Path]) -> Iterator[tuple[str, tuple[Path, Stamp]]]:
    """Yield key → path and stamp of all visible files, folders and links below the sources."""
    for number, source in enumerate(sources):
        if not source.is_dir():
            yield f"{number}", (source, _stamp(source))
            continue
        inside, followed = source.resolve(), {source.resolve()}
        for place, folders, files in os.walk(source, followlinks=True):
            folders[:] = [name for name in folders if is_visible(Path(name))]
            followed |= {Path(place, n).resolve() for n in folders if not _is_link(place, n)}
            for path in (Path(place, name) for name in (*folders, *files)):
                if is_visible(path):
                    counts = path.is_dir() or path.suffix.lower() in SUFFIXES
                    stamp = _stamp(path) if counts else [_NO_IMAGE]
                    yield f"{number}/{path.relative_to(source)}", (path, stamp)
            # A link to a hidden folder may be a class. Each folder is entered by one link at most.
            for name in [name for name in folders if _is_link(place, name)]:
                target = Path(place, name).resolve()
                if target in followed or not target.is_relative_to(inside):
                    folders.remove(name)
                followed.add(target)


def _is_link(place: str, name: str) -> bool:
    return Path(place, name).is_symlink()


def _stamp(path: Path) -> Stamp:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        kind = [_LINK, str(path.readlink())]
        return [*kind, *_stamp(path.resolve())] if path.is_file() else kind
    if stat.S_ISDIR(found.st_mode):
        return [_FOLDER]
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev]


def _content(entry: tuple[Path, Stamp]) -> str:
    """Return the hash of a file's bytes; of a folder or a link the stamp itself."""
    path, stamp = entry
    if len(stamp) < 5:
        return json.dumps(stamp)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{stamp[:2]} {digest}" if stamp[0] == _LINK else digest


def _described(entry: tuple[Path, Stamp], content: str) -> dict[str, Any]:
    return {"stamp": entry[1], "content": content}


def _is_as_noted(entry: tuple[Path, Stamp], known: Mapping[str, Any], noted_ns: int) -> bool:
    """Whether a stamp alone shows that nothing has changed."""
    stamp = entry[1]
    if stamp != known["stamp"]:
        return False
    return len(stamp) < 5 or bool(stamp[-3] < noted_ns - SETTLED_NS)
