"""The stage ``download``: a data set's official files → ``data/raw/<dataset>/``."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.config.schema import DataSection, Idx
from pipeline.data.sources import fetch_dataset
from pipeline.errors import ConfigError

TIMEOUT_S = 15.0


def download(data: DataSection, *, root: Path) -> None:
    """Fetch the four raw files of a published set, each checked against its official checksum.

    Raises `SourceError` listing what every source answered; `ConfigError` for a person's own images.
    """
    if not isinstance(data, Idx):
        raise ConfigError(
            f"data={data.name}: a folder of images has nothing to download. Go on with: "
            f"pipeline preprocess data={data.name} data.path=<folder>"
        )
    directory = root / "data" / "raw" / data.name
    paths = fetch_dataset(
        data.name, mirror=data.mirror, directory=directory, timeout_s=TIMEOUT_S, log=_say, progress=_Bar()
    )
    print(f"{data.name}: {len(paths)} official files in {directory.relative_to(root)}/")


def _say(line: str) -> None:
    print(line, flush=True)


class _Bar:
    """A line that is drawn over itself on a terminal, and nothing elsewhere."""

    def __init__(self) -> None:
        self.shown = sys.stderr.isatty()

    def __call__(self, name: str, done: int, total: int | None) -> None:
        """Show how much of a file is there."""
        if self.shown:
            share = f" of {total / 2**20:.1f}" if total else ""
            end = "\n" if total is not None and done >= total else ""
            print(f"\r{name}: {done / 2**20:.1f}{share} MiB", end=end, file=sys.stderr, flush=True)
