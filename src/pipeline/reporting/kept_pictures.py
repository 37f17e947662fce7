"""Pictures that an earlier command has drawn: read again while all that they show stays the same.

Drawing a picture takes 0.1 s, and matplotlib's import 0.3 s; reading it takes a millisecond.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import numpy as np

from pipeline import disk_cache
from pipeline.home import expanded
from pipeline.reporting.style import png_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Values = ParamSpec("Values")

# Libraries that draw.
LIBRARIES = ("matplotlib", "numpy", "pillow", "contourpy", "kiwisolver")
MOST_KEPT = 300  # about 20 MB


class Album:
    """The pictures of a project, in ``data/.pictures/`` where ``data/`` is there already.

    Example: ``Album(root).png(confusion.plot, matrix, class_names=names)``
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / "data" / ".pictures"

    def png(
        self, plot: Callable[Values, Figure], /, *args: Values.args, **kwargs: Values.kwargs
    ) -> bytes:
        """Return the PNG that ``plot`` draws of these values, drawn anew where it is not known.

        Its file is named by a hash of the values, of our code, of the libraries that draw, and of
        matplotlib's settings.
        plot: a function of a module that depends on nothing else.
        Raises `TypeError` for values whose content has no plain form, and the errors of ``plot``.
        """
        file = self._folder / _key(plot, args, kwargs)
        content = disk_cache.recall(file)
        if content is None:
            content = png_bytes(plot(*args, **kwargs))
            if self._folder.parent.is_dir():
                disk_cache.write_sealed(file, content)
                disk_cache.remove_oldest(self._folder, most=MOST_KEPT)
        return content


@cache
def _drawn_by() -> bytes:
    digest = disk_cache.fingerprint(libraries=LIBRARIES)
    digest.update(platform.platform().encode())
    return digest.digest()


def _key(plot: Callable[..., Figure], args: Sequence[object], kwargs: Mapping[str, object]) -> str:
    digest = hashlib.sha256(_drawn_by())
    _add(digest, [plot.__module__, plot.__qualname__, list(_settings()), args, kwargs])
    return digest.hexdigest()


def _add(digest: hashlib._Hash, value: object) -> None:
    """Add the content of a value, so that other content gives other bytes."""
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        digest.update(f"array {value.dtype.str} {value.shape} ".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif value is None or isinstance(value, (str, bytes, int, float, np.generic)):
        digest.update(f"{type(value).__name__} {value!a} ".encode())
    elif is_dataclass(value) and not isinstance(value, type):
        digest.update(f"{type(value).__qualname__} ".encode())
        _add(digest, {field.name: getattr(value, field.name) for field in fields(value)})
    elif isinstance(value, Mapping):
        digest.update(f"mapping {len(value)} ".encode())
        for pair in value.items():
            _add(digest, pair)
    elif isinstance(value, Sequence):
        digest.update(f"sequence {len(value)} ".encode())
        for each in value:
            _add(digest, each)
    else:
        raise TypeError(f"{type(value).__name__} has no plain form: a picture of it is not kept")


def _settings() -> Iterator[str]:
    """Yield the settings of matplotlib that a person, or code in this process, has changed."""
    homes = [
        os.environ.get("MATPLOTLIBRC", ""),
        os.environ.get("MPLCONFIGDIR", ""),
        str(Path(os.environ.get("XDG_CONFIG_HOME") or expanded("~/.config")) / "matplotlib"),
        str(expanded("~/.matplotlib")),
        ".",
    ]
    for home in homes:
        for file in (Path(home), Path(home) / "matplotlibrc"):
            if home and file.is_file():
                yield file.read_text(errors="replace")
    if "matplotlib" in sys.modules:
        import matplotlib as mpl

        given = dict.items(mpl.rcParamsOrig)  # without asking for the backend, which imports it
        yield from (
            f"{name}: {dict.get(mpl.rcParams, name)}"
            for name, value in given
            if name != "backend" and dict.get(mpl.rcParams, name) != value
        )
