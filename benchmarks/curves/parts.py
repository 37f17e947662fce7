"""A data set in its three parts, and tables that lie in installed packages."""

from __future__ import annotations

import csv
import importlib.util
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

SIZES = {"train": 3000, "val": 300, "test": 400}


@dataclass(frozen=True)
class Data:
    """One data set.

    x: pictures ``[N, C, H, W]`` or tables ``[N, F]`` float32, text ``[N, T]`` int64.
    y: classes ``[N]`` int64, or targets ``[N]`` float32 where num_classes is 0.
    """

    x: dict[str, Tensor]
    y: dict[str, Tensor]
    num_classes: int

    @property
    def kind(self) -> str:
        """Picture, table or text."""
        x = self.x["train"]
        return "text" if not x.is_floating_point() else "table" if x.ndim == 2 else "picture"


def split(x: np.ndarray, y: np.ndarray, num_classes: int, *, seed: int = 0) -> Data:
    """Shuffle, cut into the three parts (in the sizes' shares where there are too few), scale."""
    order = np.random.default_rng(seed).permutation(len(x))
    total, wanted = len(x), sum(SIZES.values())
    scale = min(1.0, total / wanted)
    cuts = np.cumsum([int(SIZES[p] * scale) for p in SIZES])
    parts = dict(zip(SIZES, np.split(order, cuts)[:3], strict=True))
    if x.dtype.kind == "f":
        mean, std = x[parts["train"]].mean(0), x[parts["train"]].std(0) + 1e-3
        if x.ndim == 4:
            mean, std = x[parts["train"]].mean(), x[parts["train"]].std()
        x = ((x - mean) / std).astype(np.float32)
    labels = torch.float32 if num_classes == 0 else torch.int64
    return Data(
        {part: torch.from_numpy(np.ascontiguousarray(x[i])) for part, i in parts.items()},
        {
            part: torch.from_numpy(np.ascontiguousarray(y[i])).to(labels)
            for part, i in parts.items()
        },
        num_classes,
    )


def package_folder(package: str) -> Path:
    """The folder of an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed: pip install {package}")
    return Path(spec.origin).parent


def table_rows(package: str, place: str, *, archive: str = "") -> list[dict[str, str]]:
    """The rows of a CSV that lies in an installed package, there in an archive if one is named."""
    root = package_folder(package)
    if not archive:
        lines = (root / place).read_text(encoding="utf-8").replace("\t", ",").splitlines()
        return list(csv.DictReader(lines, quotechar="'" if "'" in lines[0] else '"'))
    with tarfile.open(root / archive) as file:
        member = file.extractfile(place)
        assert member is not None
        return list(csv.DictReader(member.read().decode().splitlines()))
