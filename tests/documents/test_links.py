"""Links, anchors and paths that the documents name: each of them leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from document import DOCUMENTS, ROOT, anchor, headings, links

# A path of the project in a code span; a name in angle brackets or with a star stands for many.
PATH = re.compile(r"`((?:src|conf|docs|tests|benchmarks)/[\w./-]+)`")
# Files that a command makes.
MADE = re.compile(r"conf/experiment/(\w+_(best|verified|healed)\.yaml|verify/)")


def broken_links(text: str, folder: Path) -> list[str]:
    """The links of a document in ``folder`` that lead to no file, or to no heading of it."""
    broken = []
    for target in links(text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, wanted = target.partition("#")
        file = folder / name
        known = headings(file.read_text() if name else text) if wanted else []
        if (name and not file.exists()) or (wanted and wanted not in map(anchor, known)):
            broken.append(target)
    return broken


def missing_paths(text: str) -> list[str]:
    """Paths of the project in code spans that do not exist."""
    return [p for p in PATH.findall(text) if not MADE.match(p) and not (ROOT / p).exists()]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_of_a_document_leads_somewhere(name: str) -> None:
    document = ROOT / name
    assert broken_links(document.read_text(), document.parent) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_path_that_a_document_names_exists(name: str) -> None:
    assert missing_paths((ROOT / name).read_text()) == []


def test_every_document_that_code_names_exists() -> None:
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "conf").rglob("*.yaml")]
    named = {d for file in files for d in re.findall(r"docs/\w+\.md", file.read_text())}
    assert [d for d in sorted(named) if not (ROOT / d).is_file()] == []


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        pytest.param("[a](missing.md)", ["missing.md"], id="no-file"),
        pytest.param("## A b\n[a](#a-c)", ["#a-c"], id="no-heading"),
        pytest.param("## A `b`, c\n[a](#a-b-c)", [], id="heading"),
        pytest.param("[a](https://example.org/x)", [], id="web"),
        pytest.param("```\n[a](missing.md)\n```", [], id="code"),
    ],
)
def test_a_broken_link_would_be_seen(text: str, broken: list[str], tmp_path: Path) -> None:
    assert broken_links(text, tmp_path) == broken


def test_a_path_that_does_not_exist_would_be_seen() -> None:
    text = "`src/pipeline/cli.py`, `src/pipeline/nowhere.py`, `conf/experiment/reg_best.yaml`"
    assert missing_paths(text) == ["src/pipeline/nowhere.py"]
