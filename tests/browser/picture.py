"""The README's picture: two parts of the report side by side, in a small file.

python tests/browser/picture.py [report.html] [picture.png]
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from chromium import Tab, program, started
from PIL import Image

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT, GAP = 980, 1240, 24
COLOURS, MOST_BYTES = 96, 150_000
# What stands on the right: the proof of a remedy where there is one, else how the model trained.
SECOND = """
(() => {
  const heads = [...document.querySelectorAll('article h3')];
  const named = text => heads.find(h => h.textContent === text);
  const wanted = named('Tried and judged') || named('How it trained');
  return wanted.getBoundingClientRect().top + scrollY - 24;
})()
"""


def part(tab: Tab, top: float) -> Image.Image:
    """As much of the page as a picture's half holds, from ``top`` on."""
    clip = {"x": 0, "y": top, "width": WIDTH, "height": HEIGHT}
    return Image.open(io.BytesIO(tab.picture(clip=clip))).convert("RGB")


def main(report: Path, target: Path) -> None:
    """Draw it, with as many colours as the limit of its size allows."""
    path = program()
    if path is None:
        sys.exit("error: no browser. Install Chromium, on Debian with apt-get install chromium")
    with started(path) as browser:
        tab = browser.tab()
        tab.look(width=WIDTH, height=HEIGHT)
        tab.open(report.resolve().as_uri())
        halves = part(tab, 0), part(tab, tab.script(SECOND))
    whole = Image.new("RGB", (2 * WIDTH + GAP, HEIGHT), "#dfe3e8")
    for place, half in enumerate(halves):
        whole.paste(half, (place * (WIDTH + GAP), 0))
    target.parent.mkdir(parents=True, exist_ok=True)
    whole.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)
    size = target.stat().st_size
    print(f"{target}: {size:,} bytes")
    if size > MOST_BYTES:
        sys.exit(
            f"error: {target} has {size:,} bytes; the repository takes at most {MOST_BYTES:,}."
        )


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    main(
        *(given or [ROOT / "results" / "report_mlp_cnn.html"])[:1],
        *(given[1:] or [ROOT / "docs" / "pictures" / "report.png"]),
    )
