"""The command ``download``: a data set's official files → ``data/raw/<dataset>/``."""

from __future__ import annotations

import shlex
import sys

from pipeline.commands.command import Call, Command, NoOptions
from pipeline.commands.up_to_date import downloaded_line, note
from pipeline.errors import ConfigError

TIMEOUT_S = 15.0


def run(call: Call[NoOptions]) -> None:
    """Fetch the four raw files of a published set, each checked against its official checksum.

    Raises `SourceError` with the answer of every source; `ConfigError` for a person's own data.
    """
    from pipeline.config import compose
    from pipeline.config.outside_inputs import outside_inputs_read
    from pipeline.config.schema import Idx
    from pipeline.data.sources import fetch_dataset

    with outside_inputs_read() as read:
        data = compose(call.settings, root=call.root).settings.data
    if not isinstance(data, Idx):
        command = shlex.join(["pipeline", "preprocess", *call.settings])
        raise ConfigError(
            f"data.name={data.name}: data of your own has nothing to download. Go on with: "
            f"{command}"
        )
    directory = call.root / "data" / "raw" / data.name
    paths = fetch_dataset(
        data.name,
        mirror=data.mirror,
        directory=directory,
        timeout_s=TIMEOUT_S,
        log=_print,
        progress=_Bar(),
    )
    print(downloaded_line(data.name, len(paths)))
    if not read:
        note("download", call.settings, {"data": data.name}, root=call.root)


def _print(line: str) -> None:
    print(line, flush=True)


class _Bar:
    """A line that is drawn over itself on a terminal, and nothing elsewhere."""

    def __init__(self) -> None:
        self.shown = sys.stderr.isatty()

    def __call__(self, name: str, done: int, total: int | None) -> None:
        """Show how much of a file has arrived, in bytes."""
        if self.shown:
            share = f" of {total / 2**20:.1f}" if total else ""
            end = "\n" if total is not None and done >= total else ""
            print(f"\r{name}: {done / 2**20:.1f}{share} MiB", end=end, file=sys.stderr, flush=True)


COMMAND = Command(
    options=NoOptions,
    run=run,
    settings="training",
    examples=(
        "pipeline download",
        "pipeline download data=fashion_mnist",
        "pipeline download data.mirror=/mnt/mnist",
    ),
)
