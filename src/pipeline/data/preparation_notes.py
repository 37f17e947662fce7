"""What a preparation takes from a person's pictures without their asking: size, and colours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from pipeline.data.decode import FORMATS, decode_image
from pipeline.errors import DataError

SAMPLE = 30  # pictures looked at, spread over all
MUCH_LARGER = 1.5  # times the prepared side
MOST_ADVISED = 128  # pixels a side
COLOURED = 12  # of 255, the mean distance between a pixel's highest and lowest channel
_SIDE = 32  # a small copy shows whether there are colours


def preparation_notes(paths: Sequence[Path], *, size: int, channels: int) -> list[str]:
    """Return a note where most pictures are shrunk a lot, and one where they lose their colours.

    size, channels: of the prepared images. Pictures that cannot be decoded are passed over.
    """
    sides, coloured = [], []
    for path in paths[:: max(1, len(paths) // SAMPLE)]:
        try:
            pixels = decode_image(path, size=_SIDE, channels=3, background=0).astype(int)
        except DataError:
            continue
        sides.append(_longest_side(path))
        coloured.append(float((pixels.max(0) - pixels.min(0)).mean()) >= COLOURED)
    if not sides:
        return []
    notes, side = [], round(median(sides))
    if side >= MUCH_LARGER * size:
        notes.append(
            f"the pictures have about {side} pixels a side and were shrunk to {size}. "
            f"data.image_size={min(side, MOST_ADVISED)} keeps more; give it to train too."
        )
    if channels == 1 and sum(coloured) > len(coloured) / 2:
        notes.append(
            "the pictures have colours and were made grey. "
            "data.channels=3 keeps them; give it to train too."
        )
    return notes


def _longest_side(path: Path) -> int:
    from PIL import Image

    with Image.open(path, formats=FORMATS) as image:
        return int(max(image.size))
