"""How well `predict` tells pictures that are unlike the training data from MNIST's test digits.

    python benchmarks/unlike.py                            # three CNNs, then the table
    python benchmarks/unlike.py --seeds 0 --epochs 2       # quicker, and worse

It trains `experiment=tutorial_cnn` in a scratch project below `benchmarks/runs/unlike/`, once a
seed. MNIST must be prepared: `pipeline preprocess`. Pictures are made as a person would hand them
in, and pass through the same steps as in `pipeline predict`. The table has, for each kind, AUROC
against the 10,000 test digits and the share that gets the warning. The share of the test digits is
that of false warnings. The method was chosen on one small CNN with all of these kinds in view, so
the table is no judgement on kinds that nobody has looked at.
"""

from __future__ import annotations

import argparse
import gzip
import math
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from scipy.stats import rankdata

ROOT = Path(__file__).parents[1]
SCRATCH = Path(__file__).parent / "runs" / "unlike"
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Letters that have a digit's form in one handwriting or another: 0, 1, 2, 5, 6, 8, 9.
LOOK_ALIKE = "ODQoIilZzSsGbBgq"
SIDE = 112
NUM = 1000

Draw = np.random.Generator
Picture = np.ndarray  # [H, W] uint8, dark ink on light paper


# --- kinds of pictures ----------------------------------------------------------------------------


def paper(side: int = SIDE) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("L", (side, side), 255)
    return image, ImageDraw.Draw(image)


def letters(fonts: Sequence[str], among: str) -> Callable[[Draw], Picture]:
    """One letter of one of the fonts, 50 to 90 pixels high, turned by up to 10 degrees."""

    def draw(generator: Draw) -> Picture:
        image, pen = paper()
        font = ImageFont.truetype(
            str(FONTS / str(generator.choice(list(fonts)))), int(generator.integers(50, 90))
        )
        middle = (SIDE / 2, SIDE / 2)
        pen.text(middle, str(generator.choice(list(among))), font=font, fill=0, anchor="mm")
        return np.asarray(image.rotate(float(generator.uniform(-10, 10)), fillcolor=255))

    return draw


def shapes(generator: Draw) -> Picture:
    """A polygon of three to six corners, a star, or a cross, filled or in outline."""
    image, pen = paper()
    corners, turn = int(generator.integers(3, 7)), float(generator.uniform(0, 2 * math.pi))
    radius = generator.uniform(25, 50)
    kind = str(generator.choice(["polygon", "star", "cross"]))
    num = corners if kind == "polygon" else 2 * corners
    points = []
    for i in range(num):
        angle = turn + 2 * math.pi * i / num
        r = radius * (0.4 if kind == "star" and i % 2 else 1.0)
        points.append((SIDE / 2 + r * math.cos(angle), SIDE / 2 + r * math.sin(angle)))
    width = int(generator.integers(4, 12))
    if kind == "cross":
        for a, b in zip(points[:corners], points[corners:], strict=True):
            pen.line([a, b], fill=0, width=width)
    elif generator.random() < 0.5:
        pen.polygon(points, fill=0)
    else:
        pen.line([*points, points[0]], fill=0, width=width, joint="curve")
    return np.asarray(image)


def noise(generator: Draw) -> Picture:
    """Every pixel for itself."""
    return generator.integers(0, 256, (28, 28), dtype=np.uint8)


def clouds(generator: Draw) -> Picture:
    """Noise, blurred by 2 to 8 pixels and stretched to the whole range."""
    image = Image.fromarray(generator.integers(0, 256, (SIDE, SIDE), dtype=np.uint8))
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(float(generator.uniform(2, 8)))))
    low, high = float(blurred.min()), float(blurred.max())
    return ((blurred - low) / (high - low) * 255).astype(np.uint8)


def screenshots(generator: Draw) -> Picture:
    """Windows: a bar, lines of small text, and a few boxes."""
    side = 224
    image, pen = paper(side)
    pen.rectangle([0, 0, side, int(generator.integers(10, 30))], fill=int(generator.integers(200)))
    font = ImageFont.truetype(str(FONTS / "DejaVuSans.ttf"), int(generator.integers(8, 16)))
    for row in range(40, side, int(generator.integers(14, 28))):
        count = int(generator.integers(0, 30))
        text = "".join(generator.choice(list(LETTERS + "     ")) for _ in range(count))
        pen.text((int(generator.integers(5, 60)), row), text, font=font, fill=30)
    for _ in range(int(generator.integers(0, 4))):
        x, y = (int(v) for v in generator.integers(0, side - 60, 2))
        box = [x, y, x + int(generator.integers(20, 60)), y + int(generator.integers(10, 40))]
        pen.rectangle(box, fill=int(generator.integers(256)), outline=0)
    return np.asarray(image)


def stripes(generator: Draw) -> Picture:
    """A wave of any direction and of 2 to 8 periods."""
    angle, periods = generator.uniform(0, math.pi), generator.uniform(2, 8)
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    phase = 2 * math.pi * periods * (math.cos(angle) * rows + math.sin(angle) * columns)
    return (127.5 + 127.5 * np.sin(phase + generator.uniform(0, 2 * math.pi))).astype(np.uint8)


def doodles(generator: Draw) -> Picture:
    """Two to four curved strokes of a pen; one in some may be a digit by chance."""
    image, pen = paper()
    width = int(generator.integers(5, 11))
    for _ in range(int(generator.integers(2, 5))):
        ends = generator.uniform(15, SIDE - 15, (4, 2))
        t = np.linspace(0, 1, 40)[:, None]
        weights = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3]
        curve = sum(w * end for w, end in zip(weights, ends, strict=True))
        pen.line([(float(x), float(y)) for x, y in curve], fill=0, width=width, joint="curve")
    return np.asarray(image)


def side_by_side(digits: np.ndarray, count: int) -> Callable[[Draw], Picture]:
    """Several digits of the test set in a row, dark on light."""

    def draw(generator: Draw) -> Picture:
        chosen = digits[generator.integers(len(digits), size=count), 0]
        row = np.concatenate([image[:, 3:-3] for image in chosen], axis=1)
        return 255 - np.pad(row, 10)

    return draw


SERIF = ("DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf", "DejaVuSerif-Italic.ttf")
OTHER_FONTS = (
    *("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf", "STIXGeneral.ttf"),
    *("STIXGeneralItalic.ttf", "cmr10.ttf", "cmss10.ttf", "cmtt10.ttf"),
)
DISTINCT = "".join(letter for letter in LETTERS if letter not in LOOK_ALIKE)
DRAWN: dict[str, Callable[[Draw], Picture]] = {
    "letters, serif": letters(SERIF, DISTINCT),
    "shapes": shapes,
    "noise": noise,
    "clouds": clouds,
}


def kinds_of(digits: np.ndarray) -> dict[str, Callable[[Draw], Picture]]:
    """All kinds that are drawn. digits: ``[N, 1, 28, 28]`` of the test set."""
    return {
        **DRAWN,
        "letters, eight other fonts": letters(OTHER_FONTS, DISTINCT),
        "letters with a digit's form": letters(OTHER_FONTS, LOOK_ALIKE),
        "screenshots": screenshots,
        "stripes": stripes,
        "doodles": doodles,
        "two digits": side_by_side(digits, 2),
        "three digits": side_by_side(digits, 3),
    }


def views(draw: Callable[[Draw], Picture], *, seed: int, num: int = NUM) -> np.ndarray:
    """Pictures of a kind as the network sees them, ``[num, 1, 28, 28]`` uint8."""
    from pipeline.data.digit_view import as_mnist

    generator = np.random.default_rng(seed)
    return np.stack([as_mnist(draw(generator)) for _ in range(num)])[:, np.newaxis]


def auroc(familiar: np.ndarray, unlike: np.ndarray) -> float:
    """Share of pairs in which the picture that is unlike has the higher score; ties count half."""
    ranks = rankdata(np.concatenate([familiar, unlike]))[len(familiar) :]
    return float((ranks.mean() - (len(unlike) + 1) / 2) / len(familiar))


# --- models and tables ----------------------------------------------------------------------------


def project() -> Path:
    """The scratch project, with the settings of this checkout and its prepared MNIST."""
    prepared = ROOT / "data" / "processed" / "mnist"
    if not (prepared / "card.json").is_file():
        sys.exit("error: MNIST is not prepared. Run `pipeline download`, then preprocess.")
    shutil.copytree(ROOT / "conf", SCRATCH / "conf", dirs_exist_ok=True)
    shutil.copytree(prepared, SCRATCH / "data" / "processed" / "mnist", dirs_exist_ok=True)
    return SCRATCH


def trained(seed: int, *, epochs: int, root: Path) -> str:
    """Train the textbook CNN with a seed, or take the one that is there; return its name."""
    from pipeline.commands.train_job import train
    from pipeline.config import compose

    name = f"cnn_{epochs}_{seed}"
    if not (root / "models" / name / "model.json").is_file():
        settings = ["experiment=tutorial_cnn", f"name={name}", f"seed={seed}", "tracking=none"]
        length = [f"trainer.max_epochs={epochs}", "signals=none", "trainer.accelerator=cpu"]
        train(compose([*settings, *length], root=root), root=root, output=root)
    return name


def pictures(root: Path) -> dict[str, np.ndarray]:
    """All kinds as the network sees them; the test digits first, other writers' digits last."""
    from pipeline.data.idx import parse_idx
    from pipeline.data.manifest import find_dataset
    from pipeline.data.other_writers import digits
    from pipeline.data.store import load_split

    test = load_split(root / "data" / "processed" / "mnist", "test").images
    found = {"MNIST, test": test}
    found |= {kind: views(draw, seed=1) for kind, draw in kinds_of(test).items()}
    fashion = find_dataset("fashion_mnist")
    for folder in fashion.folders:
        path = Path(folder) / f"{fashion.test_images.name}.gz"
        if path.is_file():
            content = gzip.decompress(path.read_bytes())
            found["Fashion-MNIST, test"] = parse_idx(content, name=path.name)[:, np.newaxis]
    found["digits of other writers (scikit-learn)"] = digits((1, 28, 28)).images
    return found


def row(scores: np.ndarray, p_values: np.ndarray, familiar: np.ndarray) -> list[float]:
    """AUROC against the test digits, and the share with a warning."""
    from pipeline.evaluation.familiarity import UNFAMILIAR

    return [auroc(familiar, scores), float((p_values < UNFAMILIAR).mean())]


def measured(name: str, kinds: dict[str, np.ndarray], root: Path) -> dict[str, list[float]]:
    """Kind → AUROC and share of warnings, of one model."""
    from pipeline.models.features import features_of
    from pipeline.models.saved import load_familiarity, load_model

    model = load_model(root / "models" / name)
    familiarity = load_familiarity(root / "models" / name)
    assert familiarity is not None
    result, familiar = {}, np.zeros(0)
    for kind, images in kinds.items():
        features = features_of(model.network, images, mean=model.mean, std=model.std)
        scores = familiarity.scores(features, images)
        familiar = scores if not result else familiar
        result[kind] = row(scores, familiarity.p_values(features, images), familiar)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "src"))
    root = project()
    kinds = pictures(root)
    tables = [
        measured(trained(seed, epochs=options.epochs, root=root), kinds, root)
        for seed in options.seeds
    ]
    print("\n| pictures | n | AUROC | warned |\n|---|---|---|---|")
    for kind, images in kinds.items():
        values = np.array([table[kind] for table in tables])
        means, lows, highs = values.mean(0), values.min(0), values.max(0)
        area = f"{means[0]:.3f} ({lows[0]:.3f} … {highs[0]:.3f})"
        share = f"{means[1]:.1%} ({lows[1]:.1%} … {highs[1]:.1%})"
        print(f"| {kind} | {len(images):,} | {area} | {share} |")


if __name__ == "__main__":
    main()
