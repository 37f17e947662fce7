"""Files that are whole or not there, and records that have one written form."""

from __future__ import annotations

import glob
import hashlib
import math
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypeVar
from urllib.parse import unquote

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter, ValidationError

from pipeline.errors import DataError

Record = TypeVar("Record")

# A measured number in a record.  JSON has no NaN and no infinity: both are written as null,
# and null is read as NaN.
Number = Annotated[
    float,
    BeforeValidator(lambda value: math.nan if value is None else value),
    PlainSerializer(lambda value: value if math.isfinite(value) else None),
]


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let errors of the block name the file: a write to an open file does not say which it is."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the file at ``path`` in one step: a reader sees the old bytes or the new, never half.

    Makes missing folders. When writing fails, the old file stays as it was.
    """
    with replaced_atomically(path) as file:
        file.write(content)


@contextmanager
def replaced_atomically(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that becomes ``path`` in one step when the block has ended; see above."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left(path)
    temporary = _unfinished(path)
    try:
        with naming(path), temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """Make a folder beside a file or folder that is to be written, and remove it at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_left(target)
    folder = _unfinished(target)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unfinished(path: Path) -> Path:
    """Return where this process writes what will be ``path``: a hidden place beside it."""
    return path.with_name(f".{path.name}.{os.uname().nodename}-{os.getpid()}.tmp")


def _remove_left(path: Path) -> None:
    """Remove what killed processes of this machine have left of their writes to ``path``."""
    machine = f".{path.name}.{os.uname().nodename}-"
    for left in path.parent.glob(f"{glob.escape(machine)}*.tmp"):
        number = left.name.removeprefix(machine).removesuffix(".tmp")
        if not number.isdecimal() or _lives(int(number)):
            continue
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            with suppress(OSError):
                left.unlink()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # of another user, or no number of a process
        return True
    return True


SQLITE = "sqlite:///"


def sqlite_url(path: Path) -> str:
    """Return the address of a SQLite file; ``%`` and ``?`` in its path mean themselves."""
    return SQLITE + str(path).replace("%", "%25").replace("?", "%3F")


def sqlite_file(url: str) -> Path | None:
    """Return the file that an address of SQLite names, or None for another database."""
    place = url.removeprefix(SQLITE).partition("?")[0]
    return None if url == place or not place or place.startswith(":") else Path(unquote(place))


# The last key of a record's file: the hash of the file as it would be without this key.
_SEAL = re.compile(rb',?\n  "file_sha256": "([0-9a-f]{64})"\n}\n\Z')
_END = "\n}\n"


def sealed(text: str) -> bytes:
    """Return the content of a record's file: its JSON object with its own hash as the last key.

    text: an object as `to_json` writes it, indented by two spaces.
    """
    digest = hashlib.sha256(text.encode()).hexdigest()
    body, comma = ("{", "") if text == "{}\n" else (text.removesuffix(_END), ",")
    return f'{body}{comma}\n  "file_sha256": "{digest}"{_END}'.encode()


def unsealed(content: bytes, path: Path, *, way_out: str) -> bytes:
    """Return the JSON of a record's file without its hash, once the hash is right.

    A file without a hash, of an earlier version, is returned as it is: a damaged hash stays in it,
    as a key that no record knows.  Raises `DataError` for other content than was written.
    """
    seal = _SEAL.search(content)
    if seal is None and b"file_sha256" not in content:
        return content
    if seal is None:
        raise DataError(f"{path}: was changed after it was written. {way_out}")
    body = content[: seal.start()]
    text = body + (b"}\n" if body == b"{" else _END.encode())
    if hashlib.sha256(text).hexdigest() != seal[1].decode():
        raise DataError(
            f"{path}: its content is not what was written: its file_sha256 differs. {way_out}"
        )
    return text


def to_json(record: Any) -> str:
    """Return the written form of a record: JSON, indented by two spaces, with a newline at the end.

    record: a frozen dataclass or a pydantic model.
    """
    text = TypeAdapter(type(record)).dump_json(record, indent=2, by_alias=True)
    return text.decode() + "\n"


def write_record(path: Path, record: Any) -> None:
    """Write a record in its one form with its hash, whole or not at all; see `sealed`."""
    write_atomically(path, sealed(to_json(record)))


def read_record(path: Path, kind: type[Record], *, way_out: str) -> Record:
    """Read a record that `write_record` wrote; check its hash, and every field against its type.

    way_out: the sentence that ends the message, for example
        ``Make it again: pipeline diagnose name=cnn``.
    Raises `DataError` for a file that is missing, unreadable, damaged, or of another form.
    """
    content = unsealed(read_bytes(path, way_out=way_out), path, way_out=way_out)
    try:
        return TypeAdapter(kind).validate_json(content, extra="forbid")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise DataError(
            f"{path}: not a valid {kind.__name__} ({where}: {first['msg']}). {way_out}"
        ) from error


def _may_be_read(path: Path) -> bool:
    """Whether reading a path ends: a pipe waits for its writer, and a device can be endless."""
    mode = path.stat().st_mode
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)  # of a folder the system says so itself


def read_bytes(path: Path, *, way_out: str, sha256: str | None = None) -> bytes:
    """Return the content of a file; sha256: the hash that it must have, where one is known.

    Raises `DataError` for a file that is missing or unreadable, or that has another hash.
    """
    try:
        if not _may_be_read(path):
            raise DataError(f"{path}: is no regular file. {way_out}")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing. {way_out}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). {way_out}") from error
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise DataError(f"{path}: is not the file that was written: its SHA-256 differs. {way_out}")
    return content
