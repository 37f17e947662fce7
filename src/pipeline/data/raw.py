"""A folder of raw IDX files: what is accepted into it, what stands there, and reading it.

The folder holds the four uncompressed files of a data set and ``SHA256SUMS`` (the format of
``sha256sum -c``), and nothing is taken from it whose bytes are not the official ones.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from pathlib import Path

from pipeline.data.idx import read_images, read_labels
from pipeline.data.manifest import Dataset, RawFile, find_dataset
from pipeline.errors import DataError, SourceError
from pipeline.files import write_atomically
from pipeline.records import ImageSet

SUMS_NAME = "SHA256SUMS"


def unpack(file: RawFile, payload: bytes) -> bytes:
    """Return the official content of ``file`` out of what a source sent, gzip-compressed or not.

    Raises:
        SourceError: the bytes are not the official ones; says what was found. A gzip bomb is
            stopped one byte after the official size.
    """
    compressed = payload[:2] == b"\x1f\x8b"
    if file.gz_md5 is not None:
        found = hashlib.md5(payload, usedforsecurity=False).hexdigest()
        if not compressed or found != file.gz_md5:
            kind = f"has MD5 {found}" if compressed else "is not a .gz archive"
            raise SourceError(
                f"it {kind}; only the original archive {file.name}.gz with MD5 {file.gz_md5} can be checked"
            )
    content = _decompress(payload, limit=file.size) if compressed else payload
    if len(content) != file.size:
        raise SourceError(f"it has {len(content)} bytes, the official file has {file.size}")
    found = hashlib.sha256(content).hexdigest()
    if file.sha256 is not None and found != file.sha256:
        raise SourceError(f"its content has SHA-256 {found}, the official file {file.sha256}")
    return content


def _decompress(payload: bytes, *, limit: int) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(payload)) as stream:
            content = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"its gzip archive is damaged ({error})") from error
    if len(content) > limit:
        raise SourceError(f"it unpacks to more than the {limit} bytes of the official file")
    return content


def accept(file: RawFile, content: bytes, *, directory: Path) -> Path:
    """Put checked content in its place in one step, on disk before it gets its name."""
    path = directory / file.name
    write_atomically(path, content)
    sums = {**_recorded_sums(directory), file.name: hashlib.sha256(content).hexdigest()}
    lines = (f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
    write_atomically(directory / SUMS_NAME, "".join(lines).encode())
    return path


def is_official(file: RawFile, *, directory: Path) -> bool:
    """Tell whether the file stands there with the official bytes.

    Where the manifest knows no SHA-256, the one recorded when the archive was accepted counts.
    """
    expected = file.sha256 or _recorded_sums(directory).get(file.name)
    path = directory / file.name
    if expected is None or not path.is_file() or path.stat().st_size != file.size:
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == expected


def _recorded_sums(directory: Path) -> dict[str, str]:
    try:
        text = (directory / SUMS_NAME).read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return {}
    pairs = (line.split("  ", 1) for line in text.splitlines() if "  " in line)
    return {name: digest for digest, name in pairs}


def read_raw(name: str, directory: Path) -> tuple[ImageSet, ImageSet]:
    """Read the official training and test set of a known data set: ``[N, 1, 28, 28]`` uint8 each.

    Raises:
        ConfigError: unknown name.
        DataError: a file is missing or is not the official one.
    """
    dataset = find_dataset(name)
    for file in dataset.files:
        if not is_official(file, directory=directory):
            state = "is not the official file" if (directory / file.name).exists() else "is missing"
            raise DataError(f"{directory / file.name} {state}. Run `pipeline download data={name}` first.")
    return (
        _read_pair(dataset, dataset.train_images, dataset.train_labels, directory),
        _read_pair(dataset, dataset.test_images, dataset.test_labels, directory),
    )


def _read_pair(dataset: Dataset, images: RawFile, labels: RawFile, directory: Path) -> ImageSet:
    name = dataset.name
    pixels, classes = read_images(directory / images.name), read_labels(directory / labels.name)
    if len(pixels) != len(classes) or classes.max() >= len(dataset.class_names) or classes.min() < 0:
        raise DataError(
            f"{directory / labels.name} has {len(classes)} labels up to {classes.max()} for {len(pixels)} "
            f"images of {len(dataset.class_names)} classes. Run `pipeline download data={name}` again."
        )
    return ImageSet(images=pixels[:, None], labels=classes)
