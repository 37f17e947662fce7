"""A folder of raw IDX files: accepting files into it, checking them, and reading them.

The folder holds the four uncompressed files of a data set and ``SHA256SUMS`` (the format of
``sha256sum -c``). A file is read only if its bytes are the official ones.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Mapping
from pathlib import Path

from pipeline.data.idx import parse_images, parse_labels
from pipeline.data.manifest import Dataset, RawFile, find_dataset
from pipeline.data.official import SUMS_NAME, recorded_sums
from pipeline.errors import DataError, SourceError
from pipeline.files import read_bytes, write_atomically
from pipeline.records import ImageSet


def unpack(file: RawFile, payload: bytes) -> bytes:
    """Return the official content of ``file`` from a source's bytes, gzip-compressed or not.

    Raises:
        SourceError: the bytes are not the official ones. Unpacking stops one byte after the
            official size, so a gzip bomb does no harm.
    """
    compressed = payload[:2] == b"\x1f\x8b"
    if file.gz_md5 is not None:
        md5 = hashlib.md5(payload, usedforsecurity=False).hexdigest()
        if not compressed or md5 != file.gz_md5:
            kind = f"has MD5 {md5}" if compressed else "is not a .gz archive"
            raise SourceError(
                f"it {kind}; only the original archive {file.name}.gz with MD5 {file.gz_md5} "
                "can be checked"
            )
    content = _decompress(payload, limit=file.size) if compressed else payload
    if len(content) != file.size:
        raise SourceError(f"it has {len(content)} bytes, the official file has {file.size}")
    sha256 = hashlib.sha256(content).hexdigest()
    if file.sha256 is not None and sha256 != file.sha256:
        raise SourceError(f"its content has SHA-256 {sha256}, the official file {file.sha256}")
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
    """Write checked content and its checksum into the folder; return the file's path."""
    path = directory / file.name
    write_atomically(path, content)
    sums = {**recorded_sums(directory), file.name: hashlib.sha256(content).hexdigest()}
    write_atomically(directory / SUMS_NAME, _sums_text(sums))
    return path


def check_sums(dataset: Dataset, directory: Path) -> None:
    """Raise `DataError` where ``SHA256SUMS`` is not the list of the four files' hashes."""
    way_out = _way_out(dataset.name)
    contents = {f.name: read_bytes(directory / f.name, way_out=way_out) for f in dataset.files}
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    if read_bytes(directory / SUMS_NAME, way_out=way_out) != _sums_text(sums):
        raise DataError(
            f"{directory / SUMS_NAME}: does not have the hashes of the files beside it. {way_out}"
        )


def _sums_text(sums: Mapping[str, str]) -> bytes:
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())).encode()


def read_raw(name: str, directory: Path) -> tuple[ImageSet, ImageSet]:
    """Read the official training and test set of a known data set: ``[N, 1, 28, 28]`` uint8 each.

    Raises:
        ConfigError: unknown name.
        DataError: a file is missing or is not the official one.
    """
    dataset = find_dataset(name)
    for file in dataset.files:
        if not (directory / file.name).is_file():
            raise DataError(
                f"{directory / file.name} is missing. Run `pipeline download data={name}` first."
            )
    return (
        _read_pair(dataset, dataset.train_images, dataset.train_labels, directory),
        _read_pair(dataset, dataset.test_images, dataset.test_labels, directory),
    )


def _read_pair(dataset: Dataset, images: RawFile, labels: RawFile, directory: Path) -> ImageSet:
    name = dataset.name
    pixels = parse_images(
        _official_content(images, directory, name), name=str(directory / images.name)
    )
    classes = parse_labels(
        _official_content(labels, directory, name), name=str(directory / labels.name)
    )
    outside = classes.max() >= len(dataset.class_names) or classes.min() < 0
    if len(pixels) != len(classes) or outside:
        raise DataError(
            f"{directory / labels.name} has {len(classes)} labels up to {classes.max()} "
            f"for {len(pixels)} images of {len(dataset.class_names)} classes. "
            f"Run `pipeline download data={name}` again."
        )
    return ImageSet(images=pixels[:, None], labels=classes)


def _official_content(file: RawFile, directory: Path, dataset: str) -> bytes:
    """Return the content of a raw file, read once, whose hash is the official one."""
    path, way_out = directory / file.name, _way_out(dataset)
    content = read_bytes(path, way_out=way_out)
    expected = file.sha256 or recorded_sums(directory).get(file.name)
    if expected is None or hashlib.sha256(content).hexdigest() != expected:
        raise DataError(f"{path} is not the official file. {way_out}")
    return content


def _way_out(dataset: str) -> str:
    return f"Run `pipeline download data={dataset}` first."
