"""The example of docs/histories.md prints what the page says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_example_prints_what_the_page_says() -> None:
    page = (ROOT / "docs" / "histories.md").read_text()
    command, read, *said = page.split("```\n$ ")[1].split("\n```")[0].splitlines()
    words = [sys.executable, "-m", *command.split()]
    done = subprocess.run(
        words, cwd=ROOT, env={**os.environ, "COLUMNS": "80"}, capture_output=True, text=True
    )
    first, *others = [line.rstrip() for line in done.stdout.splitlines()]
    begin, _, end = read.partition("…")
    assert first.startswith(begin) and first.endswith(end)
    assert others == said
