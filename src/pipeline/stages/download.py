"""The stage ``download``: a data set's official files → ``data/raw/<dataset>/``."""

from __future__ import annotations

from pathlib import Path

from pipeline.config.schema import DataSection, Idx


def download(data: DataSection, *, root: Path) -> None:
    """placeholder"""
