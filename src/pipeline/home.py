"""The home of a user, who may have none: in a container, a user often has no entry."""

from __future__ import annotations

import os
from pathlib import Path


def expanded(path: str | Path) -> Path:
    """Return a path with a home in place of ``~``; of an unknown user it stays as it is written."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  (that of pathlib raises RuntimeError)


def work_without_one() -> None:
    """Let the temporary folder be the home where there is none: MLflow's import asks for one."""
    if expanded("~") == Path("~"):
        import tempfile

        os.environ["HOME"] = tempfile.gettempdir()
