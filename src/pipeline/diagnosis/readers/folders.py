"""A folder → the file or the event files of one run; of several runs, the newest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.diagnosis.readers.event_files import NAME_PART
from pipeline.diagnosis.readers.names import part_of
from pipeline.errors import DataError

# The files that tools write into the folder of a run, the preferred ones first.
KNOWN = (
    *("trainer_state.json", "results.csv", "metrics.csv", "summary.csv", "history.csv"),
    *("training.csv", "training_log.csv", "training.log", "log.csv", "history.json", "log.txt"),
    *("evals_result.json", "metrics.json"),
)
_ENDINGS = {".csv", ".tsv", ".json", ".jsonl", ".log", ".txt"}
_NUMBER = re.compile(r"(\d+)$")
_EXPORT = re.compile(r"-tag-")
MOST_ENTRIES = 5_000


@dataclass(frozen=True)
class Source:
    """The files of one run.

    kind: log for one text file, export for TensorBoard's CSV files, events for event files.
    files: of events with the prefix of their names, such as ``train/``.
    note: which run was taken, where there are several.
    """

    kind: str
    files: tuple[tuple[str, Path], ...]
    note: str = ""


def find_source(folder: Path) -> Source:
    """Return the files of the one run in a folder, or of the newest run in its subfolders.

    Raises `DataError` where there are none, or where several files could be meant.
    """
    try:
        found = _of_run(folder)
        return found or _newest(folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}). Give one file.") from error


def _of_run(folder: Path) -> Source | None:
    entries = _entries(folder)
    by_name = {path.name: path for path in entries}
    known = next((by_name[name] for name in KNOWN if name in by_name), None)
    if known:
        return Source("log", (("", known),))
    exports = [path for path in entries if path.suffix == ".csv" and _EXPORT.search(path.name)]
    if exports:
        return Source("export", tuple(("", path) for path in exports))
    events = _events(folder)
    if events:
        return Source("events", events)
    texts = [path for path in entries if path.suffix.lower() in _ENDINGS]
    if len(texts) == 1:
        return Source("log", (("", texts[0]),))
    if texts:
        names = ", ".join(path.name for path in texts[:8])
        raise DataError(f"{folder}: holds several files ({names}). Give one of them.")
    return None


def _events(folder: Path) -> tuple[tuple[str, Path], ...]:
    """Event files of a run: in its folder, and in subfolders that are named after parts.

    Keras writes ``train/`` and ``validation/``; ``add_scalars`` writes ``Loss_train/``.
    """
    found = [("", path) for path in _entries(folder) if NAME_PART in path.name]
    for inner in _folders(folder):
        words = re.split(r"[^A-Za-z]+", inner.name)
        if any(part_of(word) for word in words if word):
            inside = [path for path in _entries(inner) if NAME_PART in path.name]
            found += [(f"{inner.name}/", path) for path in inside]
    return tuple(found)


def _newest(folder: Path) -> Source:
    """The newest run of the subfolders, also of ``lightning_logs/``: by number, else by time."""
    places = [folder, *(path for path in _folders(folder) if path.name == "lightning_logs")]
    runs = [
        (inner, found)
        for place in places
        for inner in _folders(place)
        if inner.name != "lightning_logs" and (found := _of_run(inner))
    ]
    if not runs:
        listed = ", ".join(path.name for path in _entries(folder)[:8]) or "nothing"
        raise DataError(
            f"{folder}: holds no curves (it holds {listed}). Give the folder of one run, or a file."
        )
    inner, source = max(runs, key=lambda run: _age(run[0], [r for r, _ in runs]))
    note = f"{inner.name}, the newest of {len(runs)} runs" if len(runs) > 1 else inner.name
    return Source(source.kind, source.files, note)


def _age(folder: Path, runs: Sequence[Path]) -> tuple[float, str]:
    """The number at the end of a name (``version_3``, ``train`` before ``train2``); else time."""
    stems = {_NUMBER.sub("", run.name) for run in runs}
    if len(stems) == 1:
        number = _NUMBER.search(folder.name)
        return (float(number[1]) if number else 0.0, folder.name)
    return (folder.stat().st_mtime, folder.name)


def _entries(folder: Path) -> list[Path]:
    """The files of a folder, in the order of their names."""
    paths = []
    for count, path in enumerate(folder.iterdir()):
        if count >= MOST_ENTRIES:
            raise DataError(
                f"{folder}: has more than {MOST_ENTRIES:,} entries. Give the folder of one run."
            )
        if path.is_file():
            paths.append(path)
    return sorted(paths)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())
