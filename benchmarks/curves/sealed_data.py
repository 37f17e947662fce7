"""The data sets of the part `sealed`, of kinds that no other part has.

They are read where these are installed: Debian's package ``r-cran-mlbench``, and the packages
``pyreadr``, ``sktime``, ``scikit-image`` and ``pydataset`` of the index. Two are drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from parts import Data, package_folder, split, table_rows

MLBENCH = Path("/usr/lib/R/site-library/mlbench/data")


def mlbench(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The numbers ``[N, F]`` and the classes ``[N]`` of a data set of R's package mlbench."""
    import pyreadr

    frame = pyreadr.read_r(str(MLBENCH / f"{name}.rda"))[name]
    return frame.iloc[:, :-1].to_numpy(np.float64), frame.iloc[:, -1].cat.codes.to_numpy(np.int64)


def splice() -> Data:
    """20 bases of DNA: does a part begin, end, or neither, in their middle?"""
    bits, y = mlbench("DNA")
    bases = (bits.reshape(len(y), 60, 3) * [1, 2, 3]).sum(2).astype(np.int64)
    return split(bases[:, 20:40], y, 3)


def satellite() -> Data:
    """Six kinds of ground by 36 numbers: nine points in four colours."""
    return split(*mlbench("Satellite"), 6)


def speakers() -> Data:
    """Which of nine men says two vowels: 12 numbers, 12 times, stretched to one length."""
    folder = package_folder("sktime") / "datasets" / "data" / "JapaneseVowels"
    x, y = [], []
    for part in ("TRAIN", "TEST"):
        text = (folder / f"JapaneseVowels_{part}.ts").read_text(encoding="utf-8")
        for line in text.split("@data")[1].split():
            *rows, label = line.split(":")
            series = [np.array(row.split(","), np.float64) for row in rows]
            x.append([np.interp(np.linspace(0, len(s) - 1, 12), np.arange(len(s)), s)
                      for s in series])  # fmt: skip
            y.append(int(label) - 1)
    return split(np.array(x, np.float32).transpose(0, 2, 1)[:, None], np.array(y), 9)


def textures() -> Data:
    """From which of six photographs is this patch of 8x8 pixels? Its brightness is taken off."""
    from PIL import Image

    rng, patches, labels = np.random.default_rng(31), [], []
    for label, name in enumerate(("brick", "grass", "gravel", "coins", "text", "camera")):
        with Image.open(package_folder("skimage") / "data" / f"{name}.png") as file:
            image = np.asarray(file.convert("L"), np.float32)
        tops = rng.integers(0, image.shape[0] - 8, 740)
        lefts = rng.integers(0, image.shape[1] - 8, 740)
        for t, s in zip(tops, lefts, strict=True):
            patch = image[t : t + 8, s : s + 8]
            patches.append((patch - patch.mean()) / (patch.std() + 4))
            labels.append(label)
    return split(np.stack(patches)[:, None], np.array(labels), 6)


def turnout() -> Data:
    """A survey: does a person vote, by colour, age, years at school and income?"""
    rows = table_rows(
        "pydataset", "resources/rdata/csv/Zelig/turnout.csv", archive="resources.tar.gz"
    )
    x = [
        [row["race"] == "white", *(float(row[name]) for name in ("age", "educate", "income"))]
        for row in rows
    ]
    return split(np.array(x, np.float64), np.array([int(row["vote"]) for row in rows]), 2)


def computers() -> Data:
    """The logarithm of a computer's price by nine numbers."""
    rows = table_rows(
        "pydataset", "resources/rdata/csv/Ecdat/Computers.csv", archive="resources.tar.gz"
    )
    names = ("speed", "hd", "ram", "screen", "ads", "trend", "cd", "multi", "premium")
    x = [[float({"yes": 1, "no": 0}.get(row[n], row[n])) for n in names] for row in rows]
    y = np.log([float(row["price"]) for row in rows])
    return split(np.array(x, np.float64), (y - y.mean()) / y.std(), 0)


def tones() -> Data:
    """Which of six timbres has this wave: 32 samples of any pitch, loudness and phase, noisy."""
    rng, y = np.random.default_rng(32), np.random.default_rng(33).integers(0, 6, 4400)
    time = np.arange(32)[None] / 32
    pitch, start = rng.uniform(2, 5, (4400, 1)), rng.uniform(0, 1, (4400, 1))
    turn = pitch * time + start
    waves = np.stack([
        np.sin(2 * np.pi * turn),
        np.sign(np.sin(2 * np.pi * turn)),
        2 * (turn % 1) - 1,
        np.sin(2 * np.pi * turn) * np.sin(2 * np.pi * (0.4 * turn + start)),
        np.sin(2 * np.pi * turn * (1 + 0.5 * time)),
        0.6 * np.sin(2 * np.pi * turn) + 0.6 * np.sin(4 * np.pi * turn + 1),
    ])[y, np.arange(4400)]  # fmt: skip
    noisy = rng.uniform(0.6, 1.2, (4400, 1)) * waves + rng.normal(0, 0.3, waves.shape)
    return split(noisy[:, None, :, None].astype(np.float32), y, 6)


def grammar() -> Data:
    """Which of four grammars wrote these 16 signs: each a machine of six states, six signs."""
    rng, y = np.random.default_rng(34), np.random.default_rng(35).integers(0, 4, 4400)
    goes_to = rng.integers(0, 6, (4, 6, 6))
    writes = rng.dirichlet(np.full(6, 0.5), (4, 6)).cumsum(2)
    x, state = np.zeros((4400, 16), np.int64), rng.integers(0, 6, 4400)
    for place in range(16):
        sign = (rng.uniform(size=(4400, 1)) > writes[y, state]).sum(1).clip(0, 5)
        x[:, place], state = sign, goes_to[y, state, sign]
    return split(x, y, 4)


SEALED: dict[str, Callable[[], Data]] = {
    maker.__name__: maker
    for maker in (splice, satellite, speakers, textures, turnout, computers, tones, grammar)
}
