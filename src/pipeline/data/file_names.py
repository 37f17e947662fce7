"""Which files of a folder are taken for images, by their names alone."""

from __future__ import annotations

import os
from pathlib import Path

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
# What macOS adds to its archives: files with the names of images that are none.
PASSED_OVER = ("__MACOSX",)


def is_visible(path: Path) -> bool:
    """Whether a file or folder counts: hidden ones and ``__MACOSX`` are passed over."""
    return not path.name.startswith(".") and path.name not in PASSED_OVER


def shown(text: str) -> str:
    """Return a path or a text with paths as it can be printed and written, in any encoding."""
    return os.fsencode(text).decode(errors="replace")
