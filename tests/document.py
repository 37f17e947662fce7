"""A Markdown document as tests need it: prose, code, links, headings, and shell commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Every document of the project, by its path in it.
DOCUMENTS = sorted(
    str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))
)
_FENCE = re.compile(r"^\s*```(\w*)")


@dataclass(frozen=True)
class Line:
    """One line. ``language`` names the block of code around it: None is prose, "" has no name."""

    number: int  # counted from 1
    text: str
    language: str | None

    @property
    def is_prose(self) -> bool:
        """Neither code nor a row of a table."""
        return self.language is None and not self.text.lstrip().startswith("|")


def lines_of(text: str) -> list[Line]:
    """Each line of a Markdown text; the fences of code blocks count as code."""
    language, lines = None, []
    for number, line in enumerate(text.splitlines(), start=1):
        fence = _FENCE.match(line)
        opened = fence is not None and language is None
        if opened:
            language = fence[1]
        lines.append(Line(number, line, language))
        if fence is not None and not opened:
            language = None
    return lines


def headings(text: str) -> list[str]:
    """The headings, without their number signs."""
    matches = (re.match(r"#+ (.+)", line.text) for line in lines_of(text) if line.is_prose)
    return [match[1].strip() for match in matches if match]


def recipe() -> str:
    """The first section of docs/own_data.md: from a person's own files to a proved remedy."""
    text = (ROOT / "docs" / "own_data.md").read_text()
    return text.partition("\n## ")[2].partition("\n## ")[0] + "\n"


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading: ``How it decides`` → ``how-it-decides``."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def links(text: str) -> list[str]:
    """Every target of a Markdown link or picture outside of code."""
    prose = "\n".join(line.text for line in lines_of(text) if line.language is None)
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", prose))


def shell_commands(text: str) -> list[list[str]]:
    """Every command of the ``sh`` blocks, split as a shell does; a backslash continues a line."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def sentences(text: str) -> Iterator[tuple[int, str]]:
    """Each sentence of the prose with the number of the line on which its paragraph begins."""
    for number, paragraph in _paragraphs(text):
        for sentence in re.split(r"(?<=[.!?])[)*\"]*\s+(?=[^a-z])", paragraph):
            yield number, sentence


def num_words(sentence: str) -> int:
    """The words of a sentence: a link counts by its text, code as one word, figures as none."""
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", sentence)
    plain = re.sub(r"`[^`]*`", "code", plain)
    return sum(any(c.isalpha() for c in word) for word in plain.split())


def _paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Prose between empty lines, headings, bullets, tables and code, each as one line of text."""
    first, collected = 0, []
    for line in [*lines_of(text), Line(0, "", None)]:
        bullet = re.match(r"\s*([*-]|\d+\.)\s+", line.text)
        ends = not line.is_prose or not line.text.strip() or line.text.startswith("#") or bullet
        if ends and collected:
            yield first, " ".join(collected)
            collected = []
        if not line.is_prose or not line.text.strip() or line.text.startswith("#"):
            continue
        if not collected:
            first = line.number
        collected.append(line.text[bullet.end() :] if bullet else line.text.strip())
