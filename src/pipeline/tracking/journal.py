"""The journal of a run: everything that is recorded of it, on this disk first, one line a write.

``journal/<key>/lines.jsonl`` begins with a `Head`. Each further line is one write, in order, with
the time at which it was made, so that sending it twice sends the identical row. Files that become
artifacts are copied beside it. ``state.json`` says how far MLflow has confirmed the lines.

A process holds the lock of a journal as long as it writes or sends it. The operating system gives
the lock of a dead process back.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from pipeline.files import naming

FOLDER, LINES, STATE, LOCK = "journal", "lines.jsonl", "state.json", "lock"
MOST_WRITERS = 1000
Line = dict[str, Any]


def new_key(*identity: str) -> str:
    """Return the key of a run: of an identity always the same one, without it a random one."""
    if not identity:
        return uuid.uuid4().hex
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]


def now_ms() -> int:
    """Return milliseconds since 1970, as MLflow counts time."""
    return int(time.time() * 1000)


@dataclass(frozen=True)
class Head:
    """Which run of which store a journal belongs to.

    target: ``own``, a run that this journal makes, or finds by its key in the tag `KEY_TAG`;
    ``existing``, the run with this key or MLflow id; ``model``, the latest run with these tags and
    this name.  create: whether the run is made where none is found.
    tags: of a new run.  host, pid: of the process that began the journal.
    """

    key: str
    uri: str
    experiment: str
    name: str
    target: Literal["own", "existing", "model"] = "own"
    create: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)
    began_ms: int = field(default_factory=now_ms)
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)


@dataclass
class State:
    """How far MLflow has confirmed a journal.

    run_id: MLflow's id, once known.  created: whether this journal made the run.
    offset: bytes of the confirmed lines.  refused: writes that MLflow will never take.
    """

    run_id: str | None = None
    created: bool = False
    offset: int = 0
    refused: int = 0
    reason: str = ""


class Journal:
    """The journal of one run, held by this process."""

    def __init__(self, folder: Path, lock: FileLock) -> None:
        self.folder = folder
        self._lock = lock
        self._writing = threading.Lock()
        self._file = None if not (folder / LINES).is_file() else self._opened()

    @property
    def path(self) -> Path:
        """The file of the lines."""
        return self.folder / LINES

    @property
    def empty(self) -> bool:
        """Whether nothing has been written yet."""
        return self._file is None

    def write(self, op: str, **values: Any) -> None:
        """Append one line and hand it to the operating system. Raises ``OSError``."""
        text = json.dumps({"op": op, **values}, separators=(",", ":")).encode() + b"\n"
        with self._writing:
            self._append(text)

    def _append(self, text: bytes) -> None:
        if self._file is None:
            self._file = self._opened()
        before = self._file.seek(0, os.SEEK_END)
        written = 0
        try:
            with naming(self.path):
                written = self._file.write(text)
        finally:
            if written != len(text):  # a full disk: no half line stays
                self._file.truncate(before)
        if written != len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def sync(self) -> None:
        """Wait until the lines are on the disk."""
        if self._file is not None:
            with naming(self.path):
                os.fsync(self._file.fileno())

    def new_folder(self) -> Path:
        """Return a new empty folder for files that a line will name by its relative path."""
        folder = self.folder / "files" / uuid.uuid4().hex[:12]
        folder.mkdir(parents=True)
        return folder

    def close(self) -> None:
        """Give the journal up."""
        if self._file is not None:
            self._file.close()
        self._lock.release()

    def delete(self) -> None:
        """Delete a journal that holds nothing unconfirmed."""
        gone = self.folder.with_name(f".{self.folder.name}.{uuid.uuid4().hex[:8]}")
        with contextlib.suppress(OSError):  # by its name first: nobody meets half of it
            self.folder.rename(gone)
        self.close()
        shutil.rmtree(gone, ignore_errors=True)

    def _opened(self) -> Any:
        """Open the file for appending, without a last line that a kill has cut off."""
        file = self.path.open("ab", buffering=0)
        whole = self.path.read_bytes().rfind(b"\n") + 1
        if whole < file.seek(0, os.SEEK_END):
            file.truncate(whole)
        return file


def open_journal(root: Path, head: Head) -> tuple[Journal, list[Line]]:
    """Open the journal of a key; return it with the lines that are known of the run.

    Where another process holds it, this process gets one of its own beside it. Those lines are
    returned too. Raises ``OSError`` where the folder cannot be written.
    """
    known: list[Line] = []
    for slot in range(MOST_WRITERS):
        folder = slot_folder(root, head.key, slot)
        journal = hold(folder, make=True)
        known += read_lines(folder)[0]
        if journal is None:
            continue
        if journal.empty:
            try:
                journal.write("head", **asdict(head))
            except OSError:
                journal.delete()  # a journal without a head would never be sent
                raise
        else:
            journal.write("begin", host=head.host, pid=head.pid)
        return journal, known
    raise OSError(f"{root / FOLDER}: {MOST_WRITERS} processes write the run {head.key} at once")


def slot_folder(root: Path, key: str, slot: int) -> Path:
    """Return the folder of the journal of a key; slot: 0, or more where several write at once."""
    return root / FOLDER / (key if slot == 0 else f"{key}-{slot}")


def hold(folder: Path, *, make: bool = False) -> Journal | None:
    """Take the lock of a journal; return None where another process has it, or it is not there."""
    if make:
        folder.mkdir(parents=True, exist_ok=True)
    elif not (folder / LINES).is_file():
        return None
    lock = FileLock(folder / LOCK, thread_local=False)  # the shipper gives it back
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    if not make and not (folder / LINES).is_file():
        lock.release()
        return None
    return Journal(folder, lock)


def folders_of(root: Path, key: str) -> list[Path]:
    """Return the folders of all journals of a key, the first first."""
    if not key.isalnum():  # no key, so it names no folder
        return []
    rest = [f for f in (root / FOLDER).glob(f"{key}-*") if f.name.rpartition("-")[2].isdigit()]
    rest.sort(key=lambda f: int(f.name.rpartition("-")[2]))
    return [f for f in (slot_folder(root, key, 0), *rest) if (f / LINES).is_file()]


def all_journals(root: Path) -> list[tuple[Path, Head]]:
    """Return all journals below a project's root, the oldest first."""
    found = []
    for path in (root / FOLDER).glob(f"*/{LINES}"):
        head = read_head(path.parent)
        if head is not None and not path.parent.name.startswith("."):
            found.append((path.parent, head))
    return sorted(found, key=lambda entry: (entry[1].began_ms, entry[0].name))


def read_head(folder: Path) -> Head | None:
    """Return the head of a journal, or None where it is not whole."""
    with contextlib.suppress(OSError), (folder / LINES).open("rb") as file:
        return head_of(_parsed(file.readline()))
    return None


def head_of(line: Line) -> Head | None:
    """Return the head that a first line holds, or None."""
    values = {name: line[name] for name in Head.__dataclass_fields__ if name in line}
    whole = {"key", "uri", "experiment", "name"} <= values.keys()
    return Head(**values) if line.get("op") == "head" and whole else None


def read_lines(folder: Path, offset: int = 0) -> tuple[list[Line], int]:
    """Return the whole lines from an offset on, and the offset behind them.

    A last line without its end is left for later. A damaged line is one with the op ``damaged``.
    """
    lines = list(lines_from(folder, offset))
    return [line for line, _ in lines], lines[-1][1] if lines else offset


def lines_from(folder: Path, offset: int) -> Iterator[tuple[Line, int]]:
    """Yield each whole line from an offset on, with the offset behind it."""
    try:
        file = (folder / LINES).open("rb")
    except FileNotFoundError:
        return
    with file:
        file.seek(offset)
        for text in file:
            if not text.endswith(b"\n"):
                return
            offset += len(text)
            yield _parsed(text), offset


def read_state(folder: Path) -> State:
    """Return the state of a journal; a missing or damaged one says that nothing is confirmed."""
    try:
        return State(**json.loads((folder / STATE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return State()


def write_state(folder: Path, state: State) -> None:
    """Replace the state. It is not forced onto the disk: what is sent twice is recorded once."""
    temporary = folder / f".{STATE}.tmp"
    try:
        with naming(folder / STATE):
            temporary.write_text(json.dumps(asdict(state)))
        temporary.replace(folder / STATE)
    finally:
        temporary.unlink(missing_ok=True)


def _parsed(text: bytes) -> Line:
    try:
        line = json.loads(text)
    except ValueError:
        return {"op": "damaged"}
    known = isinstance(line, dict) and isinstance(line.get("op"), str)
    return line if known else {"op": "damaged"}
