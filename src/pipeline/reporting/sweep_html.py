"""The report on a sweep: sections of sentences, pictures and tables, as one page and on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from pipeline.reporting.html import template
from pipeline.reporting.pictures import picture


@dataclass(frozen=True)
class Table:
    """Rows of text under a head; the first column names the row.  prose: the last column is running text."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    prose: bool = False


@dataclass(frozen=True)
class Drawing:
    """A PNG. stem: its file's name without the ending."""

    stem: str
    heading: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class Section:
    """One part of the report. sentences: paragraphs.  command: what to type next."""

    heading: str
    sentences: tuple[str, ...] = ()
    table: Table | None = None
    drawings: tuple[Drawing, ...] = ()
    command: str | None = None


def render_sweep_report(
    sections: Sequence[Section], *, title: str, lead: str, generated_from: Mapping[str, str]
) -> str:
    """Return the report as the text of one HTML file without links to anything outside of it."""
    shown = [
        {
            "heading": s.heading,
            "sentences": s.sentences,
            "table": s.table,
            "pictures": [picture(d.heading, d.caption, d.png) for d in s.drawings],
            "command": s.command,
        }
        for s in sections
    ]
    return template("sweep_report.html.j2").render(
        title=title, lead=lead, sections=shown, generated_from=dict(generated_from)
    )


def print_sections(sections: Sequence[Section], *, lead: str) -> None:
    """Print sentences and tables; into a file or pipe as wide as they need."""
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(lead, markup=False)
    for section in sections:
        console.print(f"\n{section.heading}", style="bold", markup=False)
        for sentence in section.sentences:
            console.print(sentence, markup=False)
        if section.table:
            console.print(_rich(section.table))
        if section.command:
            console.print(section.command, markup=False, soft_wrap=True)


def _rich(table: Table) -> RichTable:
    drawn = RichTable(box=None, pad_edge=False, header_style="dim")
    last = len(table.head) - 1
    for index, name in enumerate(table.head):
        left = index == 0 or (table.prose and index == last)
        drawn.add_column(Text(name), justify="left" if left else "right")
    for row in table.rows:
        drawn.add_row(*(Text(cell) for cell in row))
    return drawn
