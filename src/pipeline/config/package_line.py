"""The line of Hydra's that makes the values of an experiment's file settings of the run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.config.limits import MAX_FILE_BYTES
from pipeline.errors import ConfigError

LINE = "# @package _global_"
GROUPS = ("experiment", "sweep", "debug")


def check_package_lines(overrides: Sequence[str], root: Path) -> None:
    """Raise `ConfigError` for a chosen experiment, sweep or check that does not begin with `LINE`.

    Hydra reads it only above every other line and comment. Without it, the file's values lie under
    ``experiment.…``, where nothing reads them.
    """
    for override in overrides:
        group, _, options = override.lstrip("+").partition("=")
        for option in options.split(",") if group in GROUPS else ():
            path = root / "conf" / group / f"{option.strip()}.yaml"
            if path.is_file():
                with path.open("rb") as file:
                    _check(file.read(MAX_FILE_BYTES), f"{group}/{path.name}")


def _check(content: bytes, shown: str) -> None:
    try:
        text = content.decode()
    except UnicodeDecodeError:  # reading it says so
        return
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    header = next((i for i, line in enumerate(lines) if not re.match(r"#\s*@", line)), len(lines))
    begins = [i for i, line in enumerate(lines) if re.fullmatch(r"#\s*@package\s+_global_", line)]
    if begins and begins[0] < header:
        return
    found = "has it below another line" if begins else "lacks it"
    raise ConfigError(
        f"conf/{shown}: must begin with the line '{LINE}', and {found}. Without it at the top, "
        "its values are no settings of the run. Make it the first line."
    )
