"""One image file → one array: few formats, a limit on pixels, grey or RGB."""

from __future__ import annotations

import stat
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
MAX_PIXELS = 50_000_000  # a file of 76 KiB can promise 80 million
MAX_FILE_BYTES = 200_000_000  # 50 million pixels of four bytes, not compressed
_LEAST_CONTRAST = 16  # grey levels; with less, nothing can be seen


def decode_image(path: Path, *, size: int, channels: int, background: int) -> np.ndarray:
    """Decode to ``[channels, size, size]`` uint8: upright, aspect kept, centred on ``background``.

    channels: 1 or 3.  An animation gives its first frame.  16-bit grey becomes 8-bit.
    Transparent parts have the background's grey, or its opposite where nothing could be seen on it.

    Raises:
        DataError: not one of ``FORMATS``, damaged, more than ``MAX_PIXELS``, or numbers without a
            fixed range (floating point, 32-bit integers).
    """
    image = _open(path, size=size, channels=channels, background=background)
    fitted = _fit(image, size=size, background=background)
    return np.asarray(fitted).reshape(size, size, channels).transpose(2, 0, 1)


def decode_grey(path: Path, *, longest: int | None = None) -> np.ndarray:
    """Decode to ``[H, W]`` uint8: upright, transparent parts white, or black under white ink.

    longest: a side of twice as many pixels or more is averaged down to this number or more.
    Raises as `decode_image`.
    """
    return _whole(path, channels=1, longest=longest)


def decode_colour(path: Path, *, longest: int | None = None) -> np.ndarray:
    """Decode to ``[H, W, 3]`` uint8, else as `decode_grey` does."""
    return _whole(path, channels=3, longest=longest)


def _whole(path: Path, *, channels: int, longest: int | None) -> np.ndarray:
    image = _open(path, size=longest, channels=channels, background=255)
    factor = max(image.size) // longest if longest else 1
    return np.asarray(image.reduce(factor) if factor > 1 else image)


def _open(path: Path, *, size: int | None, channels: int, background: int) -> Image.Image:
    """Return the first frame, upright, in grey or RGB.

    size: a hint for JPEG, which can decode at a lower scale.
    """
    from PIL import Image, ImageOps

    _check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                _check_size(image, path)
                mode = "RGB" if channels == 3 else "L"
                if size is not None:
                    image.draft(mode, (2 * size, 2 * size))
                upright = ImageOps.exif_transpose(image)
                return _to_mode(upright, path=path, mode=mode, background=background)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(
            f"{path}: too large ({error}); at most {MAX_PIXELS} pixels are decoded"
        ) from error
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
        IndexError,
        KeyError,
    ) as error:
        raise DataError(f"{path}: not a sound {'/'.join(FORMATS)} file ({error})") from error


def _check_file(path: Path) -> None:
    """Refuse what would never end, and what is too large, before it is opened."""
    try:
        found = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{path}: is no regular file")
    if found.st_size > MAX_FILE_BYTES:
        raise DataError(f"{path}: {found.st_size} bytes; at most {MAX_FILE_BYTES} are read")


def _check_size(image: Image.Image, path: Path) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise DataError(f"{path}: {width} × {height} pixels; at most {MAX_PIXELS} are decoded")


def _to_mode(image: Image.Image, *, path: Path, mode: str, background: int) -> Image.Image:
    from PIL import Image

    if image.mode in ("I", "F"):
        raise DataError(
            f"{path}: its pixels ({image.mode}, 32 bit) have no fixed range; save as 8 or 16 bit"
        )
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image).astype(np.uint32) + 128) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert(mode)
    if image.has_transparency_data:
        return _on_background(image.convert("RGBA"), mode, background)
    return image.convert(mode)


def _on_background(image: Image.Image, mode: str, background: int) -> Image.Image:
    """Return a picture on a background; on its opposite where nothing can be seen on it."""
    from PIL import Image

    def on(grey: int) -> Image.Image:
        solid = Image.new("RGBA", image.size, (grey, grey, grey, 255))
        return Image.alpha_composite(solid, image).convert(mode)

    usual = on(background)
    if _contrast(usual) >= _LEAST_CONTRAST:
        return usual
    opposite = on(255 - background)
    return opposite if _contrast(opposite) >= _LEAST_CONTRAST else usual


def _contrast(image: Image.Image) -> int:
    """Return the largest difference of grey levels within a channel of a grey or RGB picture."""
    extrema = np.array(image.getextrema()).reshape(-1, 2)
    return int((extrema[:, 1] - extrema[:, 0]).max())


def _fit(image: Image.Image, *, size: int, background: int) -> Image.Image:
    """Scale so that the longer side is ``size``, then centre on a square of the background."""
    from PIL import Image

    longest = max(image.size)
    width, height = (max(1, round(side * size / longest)) for side in image.size)
    scaled = image.resize((width, height), Image.Resampling.BILINEAR)
    square = Image.new(
        image.mode, (size, size), background if image.mode == "L" else (background,) * 3
    )
    square.paste(scaled, ((size - width) // 2, (size - height) // 2))
    return square
