"""Write ``docs/faults.md``, the cards of all faults: ``python -m pipeline.diagnosis.faults``."""

from __future__ import annotations

import textwrap
from pathlib import Path

from pipeline.diagnosis.fault import Fault
from pipeline.diagnosis.faults import FAULTS
from pipeline.files import write_atomically

PAGE = Path("docs/faults.md")
WIDTH = 100
TITLE = "# Faults that the diagnosis knows\n"
INTRODUCTION = (
    "Causes come before their consequences. `python -m pipeline.diagnosis.faults` writes this page "
    "from the cards in `src/pipeline/diagnosis/faults/`."
)


def page() -> str:
    """Return the page: one section a fault, causes before consequences."""
    sections = [_section(fault) for fault in FAULTS]
    return "\n".join([TITLE, _wrapped(INTRODUCTION), "", *sections])


def _section(fault: Fault) -> str:
    names = ", ".join(_link(f) for f in FAULTS if fault.brings_about(f))
    parts = {
        "Harm": fault.harm,
        "Decision": fault.decides,
        "Known failures": fault.fails,
        "Brings about": f"{names or 'no other fault'}.",
        "Source": fault.source,
    }
    items = [_wrapped(f"* **{name}.** {text}", indent="  ") for name, text in parts.items()]
    return "\n".join([f"## {_words(fault)}\n", _wrapped(fault.what), "", *items, ""])


def _link(fault: Fault) -> str:
    return f"[{_words(fault).lower()}](#{_words(fault).lower().replace(' ', '-')})"


def _words(fault: Fault) -> str:
    return fault.verdict.replace("_", " ").capitalize()


def _wrapped(text: str, *, indent: str = "") -> str:
    return textwrap.fill(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


if __name__ == "__main__":
    write_atomically(PAGE, page().encode())
    print(f"wrote {PAGE}")
