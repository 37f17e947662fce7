"""The home folder of a user. In a container, a user often has none."""

from __future__ import annotations

import os
from pathlib import Path


def expanded(path: str | Path) -> Path:
    """Return a path with the home folder in place of ``~``; unchanged where there is none."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  (that of pathlib raises RuntimeError)


def use_temporary_if_missing() -> None:
    """Set a missing home to the folder of temporary files: MLflow's import fails without a home."""
    if expanded("~") == Path("~"):
        import tempfile

        os.environ["HOME"] = tempfile.gettempdir()
