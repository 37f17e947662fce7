"""One bar for all epochs → a line for each epoch.

``for epoch in tqdm(range(10))`` draws one bar, and each drawing overwrites the one before it. Where
the text holds every drawing, the numbers of all epochs are in it. tqdm's bars are read, and those
of Rich where it wrote to a terminal; in a pipe Rich writes the last drawing only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.diagnosis.readers.names import has_part

_TQDM = re.compile(
    r"^(?P<title>[^|]{0,300}?):?\s{0,8}\d{1,3}%\|[^|]{0,200}\|\s{0,8}(?P<done>\d{1,12})/"
    r"(?P<all>\d{1,12})\s\[[\d:?]+<[\d:?]+,[^,\]]{0,40}(?P<numbers>,[^\]]{0,2000})?\](?P<rest>.*)$"
)
_RICH = re.compile(
    r"^(?P<title>[^━]{0,300}?)\s[━╸╺]{2,400}\s+(?P<done>\d{1,3})(?P<all>%)(?P<numbers>.{0,2000})"
    r"(?P<rest>)$"
)
_EPOCHS = re.compile(r"\bepochs?\b", re.IGNORECASE)
_NUMBERED = re.compile(
    r"(?<!best )(?<!best_)\bep(?:och)?\b['\"]?\s{0,8}[:=#]?\s{0,8}[\[(]?\s{0,8}\d+(?![\d.]*%)",
    re.IGNORECASE,
)
_PAIR = re.compile(r"([A-Za-z_][\w/.]*)\s{0,4}[:=]?\s{0,4}([-+]?\d[\w.+-]*|nan|inf)", re.IGNORECASE)


@dataclass(frozen=True)
class _Drawing:
    """A bar as it was drawn once: where it stands, how far it is, and the text of its numbers."""

    index: int
    done: int
    text: str
    rest: str


def unrolled(text: str) -> str:
    """Return the text with a line for each epoch in place of a bar over epochs.

    A bar is one over epochs where its title says so, or its numbers of validation change. A text
    that numbers its epochs is left as it is.
    """
    if not ("%|" in text or "━" in text) or _NUMBERED.search(text):
        return text
    parts = re.split(r"([\r\n])", text)
    bars: dict[tuple[str, str], list[_Drawing]] = {}
    for index in range(0, len(parts), 2):
        found = (_TQDM if "%|" in parts[index] else _RICH).match(parts[index][:5_000])
        if found:
            words = re.sub(r"[-+\d.]|\bnan\b|\binf\b", "", found["title"]).strip()
            numbers = f"{found['title']} {found['numbers'] or ''}"
            drawing = _Drawing(index, int(found["done"]), numbers, found["rest"])
            bars.setdefault((words, found["all"]), []).append(drawing)
    for (title, _), drawings in bars.items():
        if _counts_epochs(title, drawings):
            _write(parts, drawings)
    return "".join(parts)


def _counts_epochs(title: str, drawings: list[_Drawing]) -> bool:
    done = [each.done for each in drawings]
    if done != sorted(done) or done[-1] < 2:
        return False
    if _EPOCHS.search(title):
        return True
    validated = {
        value
        for each in drawings
        for name, value in _PAIR.findall(each.text)
        if has_part(name) == "val"
    }
    return len(validated) > 1


def _write(parts: list[str], drawings: list[_Drawing]) -> None:
    """Leave the last drawing of each epoch, which is the one with all of its numbers.

    A bar that shows numbers before its first step shows those of an epoch until the next has its
    own: then its last drawing repeats an epoch.
    """
    last: dict[int, _Drawing] = {}
    for each in drawings:
        parts[each.index] = f"\n{each.rest}\n" if each.rest.strip() else ""
        if _PAIR.search(each.text):
            last[each.done] = each
    kept = list(last.values())
    ahead = bool(kept) and kept[0].done == 0
    if ahead and len(kept) > 1 and _numbers(kept[-1]) == _numbers(kept[-2]):
        kept.pop()
    for each in kept:
        parts[each.index] = f"\n{each.text}\n{each.rest}\n"


def _numbers(drawing: _Drawing) -> list[tuple[str, str]]:
    return _PAIR.findall(drawing.text)
