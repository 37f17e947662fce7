"""The sources of raw files, asked in order; every file is checked before it is accepted."""

from __future__ import annotations

import re
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from pipeline.data.manifest import Dataset, RawFile, find_dataset
from pipeline.data.official import is_official
from pipeline.data.pip_source import PackageSource
from pipeline.data.raw import accept, unpack
from pipeline.data.web_source import Progress, WebSource
from pipeline.errors import ConfigError, DataError, SourceDown, SourceError
from pipeline.home import expanded

Log = Callable[[str], None]


class Source(Protocol):
    """A place that may have the files."""

    @property
    def label(self) -> str:
        """Its name in messages."""

    def deliver(self, file: RawFile) -> bytes:
        """Return the official, uncompressed content, or raise ``SourceError`` with the reason.

        ``SourceDown`` says that asking for the other files is pointless too.
        """


class FolderSource:
    """Files in a folder: ``<name>.gz`` or ``<name>``, or with ``.idx3`` as some mirrors have."""

    def __init__(self, folder: Path) -> None:
        self.label = f"the folder {folder}"
        self._folder = folder

    def deliver(self, file: RawFile) -> bytes:
        """Return the official content of ``file``; raises as ``Source.deliver`` says."""
        if not self._folder.is_dir():
            raise SourceDown("there is no such folder")
        dotted = file.name.replace("-idx", ".idx")
        max_bytes = file.size + file.size // 100 + 65_536
        refused: SourceError | None = None
        for name in (f"{file.name}.gz", file.name, f"{dotted}.gz", dotted):
            path = self._folder / name
            if path.is_file():
                try:
                    return unpack(file, self._read(path, max_bytes=max_bytes))
                except SourceError as error:  # the same file may lie there in another form
                    refused = refused or error
        if refused:
            raise refused
        raise SourceError(f"there is neither {file.name} nor {file.name}.gz in it")

    def _read(self, path: Path, *, max_bytes: int) -> bytes:
        try:
            with path.open("rb") as stream:
                return stream.read(max_bytes)
        except OSError as error:
            raise SourceError(f"{path.name} cannot be read ({error.strerror})") from error


def fetch_dataset(
    name: str,
    *,
    mirror: str | None,
    directory: Path,
    timeout_s: float,
    log: Log,
    progress: Progress | None = None,
) -> list[Path]:
    """Bring the four raw IDX files of a known data set into ``directory``, uncompressed.

    mirror: a folder, or an http, https or file address, asked first; where it fails, the log says
    so and the others follow.  timeout_s: how long to wait for a silent connection.
    Files that are present and correct are kept; wrong ones are removed and fetched again. Even when
    this function is interrupted, no wrong or partial file has a real name afterwards.

    Raises:
        ConfigError: unknown data set, or a mirror of an unknown kind.
        SourceError: no source has a file; the message lists their answers.
        DataError: ``directory`` cannot be written.
    """
    return fetch_files(
        find_dataset(name),
        mirror=mirror,
        directory=directory,
        timeout_s=timeout_s,
        log=log,
        progress=progress,
    )


def fetch_files(
    dataset: Dataset,
    *,
    mirror: str | None,
    directory: Path,
    timeout_s: float,
    log: Log,
    progress: Progress | None = None,
) -> list[Path]:
    """Do the same for a data set that is described by a record."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        missing = _sort_out_present(dataset, directory=directory, log=log)
        sources = _list_sources(
            dataset,
            mirror=mirror,
            directory=directory,
            timeout_s=timeout_s,
            log=log,
            progress=progress,
        )
        answers: list[str] = []
        for source in sources:
            if missing:
                missing = _ask(source, missing, directory=directory, log=log, answers=answers)
    except OSError as error:
        raise DataError(
            f"{directory} cannot be used: {error.strerror or error}. "
            "Make room or permit writing there, then run `pipeline download` again."
        ) from error
    if missing:
        raise SourceError(_explain(dataset, missing, answers))
    for part in directory.glob(".*.part"):
        part.unlink()
    return [directory / file.name for file in dataset.files]


def _sort_out_present(dataset: Dataset, *, directory: Path, log: Log) -> list[RawFile]:
    """Remove wrong files and return those that have to be fetched."""
    missing = []
    for file in dataset.files:
        path = directory / file.name
        if is_official(file, directory=directory):
            log(f"{path} is present and correct.")
            continue
        if path.exists():
            log(f"{path} is not the official file; it is replaced.")
            path.unlink()
        missing.append(file)
    return missing


def _list_sources(
    dataset: Dataset,
    *,
    mirror: str | None,
    directory: Path,
    timeout_s: float,
    log: Log,
    progress: Progress | None,
) -> Iterator[Source]:
    def web(address: str) -> WebSource:
        return WebSource(address, directory=directory, timeout_s=timeout_s, progress=progress)

    if mirror and _scheme(mirror) in ("http", "https"):
        yield web(mirror)
    elif mirror:
        yield FolderSource(_as_folder(mirror))
    yield from (FolderSource(Path(folder)) for folder in dataset.folders if Path(folder).is_dir())
    yield from (web(address) for address in dataset.web)
    if dataset.name == "mnist":
        yield PackageSource(log=log)


def _scheme(mirror: str) -> str:
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/", mirror)
    return match[1].lower() if match else ""


def _as_folder(mirror: str) -> Path:
    if _scheme(mirror) == "file":
        return Path(urllib.request.url2pathname(urllib.parse.urlsplit(mirror).path))
    if _scheme(mirror):
        raise ConfigError(
            f"data.mirror={mirror} is of an unknown kind: allowed are a folder and addresses that "
            "begin with http://, https:// or file://. Download the files yourself and name their "
            "folder."
        )
    return expanded(mirror)


def _ask(
    source: Source, wanted: Sequence[RawFile], *, directory: Path, log: Log, answers: list[str]
) -> list[RawFile]:
    """Take the files that a source has, add its refusals to ``answers``; return missing files."""
    missing = list(wanted)
    for file in wanted:
        try:
            content = source.deliver(file)
        except SourceError as error:
            down = isinstance(error, SourceDown)
            where = source.label if down else f"{source.label}: {file.name}"
            answers.append(f"{where}: {error}")
            log(f"Warning: {answers[-1]}")
            if down:
                break
            continue
        path = accept(file, content, directory=directory)
        missing.remove(file)
        log(f"{path} came from {source.label}.")
    return missing


def _explain(dataset: Dataset, missing: Sequence[RawFile], answers: Sequence[str]) -> str:
    asked = "\n".join(f"  - {answer}" for answer in answers)
    kind = ".gz" if any(file.gz_md5 for file in missing) else ".gz or not"
    package = (
        " On Debian and Ubuntu `apt install dataset-fashion-mnist` does it too."
        if dataset.name == "fashion_mnist"
        else ""
    )
    return (
        f"No source could deliver {', '.join(file.name for file in missing)} of {dataset.name}. "
        f"Their answers:\n{asked}\n"
        f"Put these files ({kind}) into a folder and run "
        f"`pipeline download data={dataset.name} data.mirror=<that folder>`.{package}"
    )
