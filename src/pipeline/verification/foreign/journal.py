"""The runs that have ended, one line each, so that none is ever repeated."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.errors import ConfigError, DataError


@dataclass(frozen=True)
class FinishedRun:
    """One line of ``runs.jsonl``.

    key: hash of the command with its values, of the metric, and of the scripts and settings files
    that the command names.  words: as they were run.  source: where the number stood.
    """

    key: str
    words: tuple[str, ...]
    value: float
    source: str
    seconds: float


class Journal:
    """The file ``runs.jsonl``: lines are added, on the disk before the next run begins."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._runs = {run.key: run for run in _read(path)}

    def find(self, key: str) -> FinishedRun | None:
        """Return a run that has ended, or None."""
        return self._runs.get(key)

    def add(self, run: FinishedRun) -> None:
        """Write a run; several threads may."""
        line = json.dumps(asdict(run)) + "\n"
        with self._lock, self.path.open("a") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
            self._runs[run.key] = run


def _read(path: Path) -> Iterator[FinishedRun]:
    if not path.is_file():
        return
    content = path.read_bytes()
    whole, _, cut = content.rpartition(b"\n")
    if cut:  # a kill in the middle of a line: that run is run again
        os.truncate(path, len(content) - len(cut))
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            values = json.loads(line)
            yield FinishedRun(**{**values, "words": tuple(values["words"])})
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{path}: line {number} is damaged. Delete this line: its run is then run again."
            ) from error


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold a verification's folder for this process.

    Raises `ConfigError` where another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f"{folder}: another verify of the same command is at work. Wait for its end, or "
                "give this one a name of its own: name=<name>"
            ) from error
        yield
