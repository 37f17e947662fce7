"""A sweep's report as one page and on the terminal: sentences, pictures and tables in sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table as RichTable
from rich.text import Text

from pipeline.reporting.console import console
from pipeline.reporting.html import template
from pipeline.reporting.pictures import picture

PIPE_WIDTH = 160


@dataclass(frozen=True)
class Table:
    """Rows of text under a head; the first column names the row.

    prose: the last column is running text.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    prose: bool = False


@dataclass(frozen=True)
class Drawing:
    """A PNG. stem: the name of its file without the ending."""

    stem: str
    heading: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class ReportSection:
    """One part of the report. sentences: paragraphs.  command: the one to type next."""

    heading: str
    sentences: tuple[str, ...] = ()
    table: Table | None = None
    drawings: tuple[Drawing, ...] = ()
    command: str | None = None


def render_sweep_report(
    sections: Sequence[ReportSection], *, title: str, lead: str, generated_from: Mapping[str, str]
) -> str:
    """Return the report as the text of one HTML file that needs no other file and no network.

    generated_from: facts about the study, which the page prints as given.
    """
    shown = [
        {
            "heading": section.heading,
            "sentences": section.sentences,
            "table": section.table,
            "pictures": [picture(d.heading, d.caption, d.png) for d in section.drawings],
            "command": section.command,
        }
        for section in sections
    ]
    return template("sweep_report.html.j2").render(
        title=title, lead=lead, sections=shown, generated_from=dict(generated_from)
    )


def print_sections(sections: Sequence[ReportSection], *, lead: str) -> None:
    """Print sentences and tables; in a file or pipe 160 columns wide unless ``COLUMNS`` is set."""
    shown = console(in_pipe=PIPE_WIDTH)
    shown.print(lead)
    for section in sections:
        shown.print(f"\n{section.heading}", style="bold")
        for sentence in section.sentences:
            shown.print(sentence)
        if section.table:
            shown.print(_rich(section.table))
        if section.command:
            shown.print(section.command, soft_wrap=True)


def _rich(table: Table) -> RichTable:
    drawn = RichTable(box=None, pad_edge=False, header_style="dim")
    last = len(table.head) - 1
    for index, name in enumerate(table.head):
        left = index == 0 or (table.prose and index == last)
        drawn.add_column(Text(name), justify="left" if left else "right")
    for row in table.rows:
        drawn.add_row(*(Text(cell) for cell in row))
    return drawn
