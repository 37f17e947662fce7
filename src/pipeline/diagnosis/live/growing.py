"""A log that another program is still writing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.diagnosis.history import History
from pipeline.errors import DataError

Read = Callable[[Path], History]
Sign = tuple[tuple[str, int, int], ...]


class GrowingLog:
    """Reads a file, or the folder of a run, whenever it has changed.

    read: turns a path into a history, or raises `DataError`.
    """

    def __init__(self, path: Path, read: Read) -> None:
        self.path, self.read = path, read
        self._sign: Sign = ()

    def changed(self) -> bool:
        """Whether size or time of change differ from those of the last call."""
        before, self._sign = self._sign, _sign_of(self.path)
        return self._sign != before

    def so_far(self) -> History | None:
        """Return the history without a last line that is half written; None where none is there.

        A log can be damaged for a moment: while it is replaced, or before its first values.
        """
        if self.path.is_dir():
            return self._tried(self.path)
        try:
            content = self.path.read_bytes()
        except OSError:
            return None
        whole, newline, _ = content.rpartition(b"\n")
        with TemporaryDirectory() as folder:
            copy = Path(folder) / self.path.name
            copy.write_bytes(whole + newline)
            found = self._tried(copy) if whole else None
            if found is None:  # JSON in one piece has no last line
                copy.write_bytes(content)
                found = self._tried(copy)
        return found

    def _tried(self, path: Path) -> History | None:
        try:
            return self.read(path)
        except (DataError, OSError):
            return None


def _sign_of(path: Path) -> Sign:
    """Name, size and time of change of the file, or of all files in the folder."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    found = []
    for file in files:
        try:
            state = file.stat()
        except OSError:
            continue
        found.append((str(file), state.st_size, state.st_mtime_ns))
    return tuple(found)
