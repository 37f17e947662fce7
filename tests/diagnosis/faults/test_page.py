"""The page of the faults is the one that the command writes."""

from __future__ import annotations

from pathlib import Path

from pipeline.diagnosis.faults import FAULTS
from pipeline.diagnosis.faults.__main__ import page

PAGE = Path(__file__).parents[3] / "docs" / "faults.md"


def test_the_committed_page_is_the_one_that_the_cards_give() -> None:
    assert PAGE.read_text() == page(), "write it again: make docs"


def test_every_fault_has_a_section_and_every_link_leads_to_one() -> None:
    text = page()
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    anchors = {line.removeprefix("## ").lower().replace(" ", "-") for line in headings}
    assert len(headings) == len(FAULTS)
    linked = {part.split(")")[0] for part in text.split("(#")[1:]}
    assert linked <= anchors
