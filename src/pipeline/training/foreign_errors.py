"""Errors of a person's own classes, told in one line: where, what, and how to go on."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from pytorch_lightning.utilities.exceptions import MisconfigurationException

from pipeline import interruption
from pipeline.errors import ConfigError, ForeignCodeError, PipelineError


@contextmanager
def told_in_one_line(packages: Sequence[str], *, way_out: str) -> Iterator[None]:
    """Turn an error that passes through code of these packages into a `ForeignCodeError`.

    What Lightning refuses becomes a `ConfigError`. Other errors stay as they are.
    """
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:
        if interruption.received() is not None:
            raise
        if place := _place(error, packages):
            text = " ".join(str(error).split())
            said = f"{type(error).__name__}: {text}" if text else type(error).__name__
            raise ForeignCodeError(f"{place}: {said.rstrip('.')}. {way_out}") from error
        if isinstance(error, MisconfigurationException):
            raise ConfigError(f"Lightning refuses it: {' '.join(str(error).split())}") from error
        raise


def _place(error: Exception, packages: Sequence[str]) -> str | None:
    """Return the innermost place in these packages that an error came through."""
    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        name = str(frame.f_globals.get("__name__", ""))
        if any(name == p or name.startswith(f"{p}.") for p in packages):
            found = f"{name}.{_function(frame)} ({Path(frame.f_code.co_filename).name}:{line})"
    return found


def _function(frame: FrameType) -> str:
    return frame.f_code.co_qualname
