"""Coloured pictures for tests: stripes whose direction and hue are the class, among noise."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def striped(generator: np.random.Generator, label: int, *, side: int, classes: int) -> np.ndarray:
    """``[side, side, 3]`` uint8."""
    angle = math.pi * (label + generator.uniform(-0.2, 0.2)) / classes
    colour = np.array(colorsys.hsv_to_rgb(label / classes, 0.7, 1.0))
    rows, columns = np.mgrid[:side, :side] / side
    phase = 2 * math.pi * 4 * (math.cos(angle) * rows + math.sin(angle) * columns)
    wave = 0.5 + 0.4 * np.sin(phase + generator.uniform(0, 2 * math.pi))
    noisy = wave[..., None] * colour + generator.normal(0, 0.15, (side, side, 3))
    return np.asarray((255 * noisy.clip(0, 1)).astype(np.uint8))


def make_coloured(folder: Path, *, side: int, counts: Sequence[int], seed: int = 0) -> Path:
    """Write ``<folder>/class_<i>/<j>.png``; counts: pictures of each class."""
    generator = np.random.default_rng(seed)
    for label, count in enumerate(counts):
        place = folder / f"class_{label:02}"
        place.mkdir(parents=True)
        for index in range(count):
            pixels = striped(generator, label, side=side, classes=len(counts))
            Image.fromarray(pixels).save(place / f"{index}.png")
    return folder
