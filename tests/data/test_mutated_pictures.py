"""Pictures with changed bytes: each is decoded or refused in one message, in bounded memory.

``PIPELINE_FUZZ_PICTURES=10000`` tries more than the usual number.
"""

from __future__ import annotations

import io
import os
import random
import resource
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.decode import decode_grey, decode_image
from pipeline.errors import DataError

NUM_PICTURES = int(os.environ.get("PIPELINE_FUZZ_PICTURES", "300"))
MOST_MEMORY_KB = 1_000_000  # more than this process has before; 50 million pixels take 200 MB
NOISE = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)


def sound_pictures() -> list[bytes]:
    """Small pictures of every format, mode and peculiarity that is decoded."""
    colour = Image.fromarray(NOISE)
    modes = {
        "PNG": ["L", "RGB", "RGBA", "P", "1", "LA"],
        "JPEG": ["L", "RGB", "CMYK"],
        "WEBP": ["RGB", "RGBA"],
        "GIF": ["P", "L"],
        "BMP": ["RGB"],
        "TIFF": ["RGB", "L"],
    }
    found = [(colour.convert(mode), form) for form, each in modes.items() for mode in each]
    found.append((Image.fromarray(NOISE[..., 0].astype(np.uint16) * 257), "PNG"))
    contents = [_saved(image, form) for image, form in found]
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned
    contents.append(_saved(colour, "JPEG", exif=exif.tobytes()))
    contents.append(_saved(colour, "PNG", pnginfo=None, exif=exif.tobytes()))
    contents.append(_saved(colour, "GIF", save_all=True, append_images=[colour, colour]))
    contents.append(_saved(colour, "WEBP", save_all=True, append_images=[colour, colour]))
    return contents


def _saved(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)  # type: ignore[arg-type]
    return stream.getvalue()


def mutated(content: bytes, dice: random.Random) -> bytes:
    """Change, cut, repeat or insert some bytes; most often in the header."""
    changed = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 4, 8))):
        reach = len(changed) if dice.random() < 0.4 else min(64, len(changed))
        place = dice.randrange(max(1, reach))
        way = dice.randrange(5)
        if way < 2 and changed:
            changed[place % len(changed)] = dice.choice((0, 1, 127, 128, 255, dice.randrange(256)))
        elif way == 2:
            changed[place:place] = dice.randbytes(dice.choice((1, 4, 40)))
        elif way == 3:
            del changed[place : place + dice.choice((1, 4, 40))]
        else:
            changed[place : place + 4] = dice.choice((b"\xff" * 4, b"\x00" * 4, b"\x7f\xff" * 2))
    return bytes(changed)


@pytest.mark.filterwarnings("ignore")  # Pillow's own, on damaged metadata
def test_any_damage_is_a_picture_or_one_message(tmp_path: Path) -> None:
    sound, dice, path = sound_pictures(), random.Random(0), tmp_path / "x.png"
    for content in sound:
        path.write_bytes(content)
        assert decode_image(path, size=4, channels=3, background=0).shape == (3, 4, 4)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = 0
    for _ in range(NUM_PICTURES):
        path.write_bytes(mutated(dice.choice(sound), dice))
        try:
            image = decode_image(path, size=4, channels=1, background=0)
            assert (image.shape, image.dtype) == ((1, 4, 4), np.uint8)
            assert decode_grey(path).ndim == 2
        except DataError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ") and len(str(error)) < 1000
    assert 0 < refused < NUM_PICTURES, "some are refused, and some are pictures still"
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    assert grown_kb < MOST_MEMORY_KB
