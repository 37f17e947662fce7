"""docs/learn.md: its commands run, shortened, and make the pictures that its sections promise."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from document import ROOT, shell_commands
from shortened import run, shortened

DOC = ROOT / "docs" / "learn.md"
LARGEST_PICTURE = 80_000


def sections(text: str) -> dict[str, str]:
    """Heading → text of each section that has a block of commands."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)[1:]
    return {
        head: body for head, body in zip(parts[::2], parts[1::2], strict=True) if "```sh" in body
    }


def promised(section: str) -> set[str]:
    """The pictures that a section says its commands make."""
    return set(re.findall(r"`(results/[\w./-]+\.png)`", section))


SECTIONS = sections(DOC.read_text())


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_commands_of_a_section_run_and_make_its_pictures(
    heading: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "docs" / "pictures", project / "docs" / "pictures")
    listed = shell_commands(SECTIONS[heading])
    pictures = promised(SECTIONS[heading])
    assert listed and pictures
    for words in listed:
        run(words, monkeypatch, capsys)
    assert [p for p in sorted(pictures) if not (project / p).is_file()] == []


def test_all_ideas_of_the_path_are_there() -> None:
    assert [heading.partition(".")[0] for heading in SECTIONS] == [str(i) for i in range(1, 11)]


def test_every_comparison_promises_its_picture() -> None:
    """One picture for each `pipeline compare`, so that none is made without a word about it."""
    for heading, section in SECTIONS.items():
        made = sum(words[1] == "compare" for words in shell_commands(section))
        told = sum(p.startswith("results/compare/") for p in promised(section))
        assert made == told, heading


def test_every_section_asks_and_tells_where_its_code_lives() -> None:
    for heading, section in SECTIONS.items():
        assert "**Try next:**" in section, heading
        files = re.findall(r"`(src/pipeline/[\w/.]+\.py|conf/[\w/.]+)`", section)
        assert files, heading
        assert [f for f in files if not (ROOT / f).exists()] == [], heading


def test_the_pictures_of_the_document_are_there_and_small() -> None:
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", DOC.read_text())
    assert len(shown) >= 2
    for name in shown:
        assert (DOC.parent / name).stat().st_size < LARGEST_PICTURE, name


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("pipeline train activation=sigmiod", id="option"),
        pytest.param("pipeline train model.widht=3", id="key"),
        pytest.param("pipeline compare study=nobody", id="study"),
        pytest.param("pipeline trian", id="command"),
        pytest.param("python train.py", id="program"),
    ],
)
def test_a_wrong_command_would_be_seen(
    line: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = shell_commands(f"## 1. x\n```sh\n{line}   # a remark\n```\n")
    with pytest.raises(AssertionError):
        run(found, monkeypatch, capsys)


def test_what_a_line_sweeps_is_left_to_it() -> None:
    words = shlex.split("pipeline train -m trainer.max_epochs=1,2 'x=[1,2]' seed=3")
    assert "trainer.max_epochs=2" not in shortened(words)
    assert "data.fraction=0.1" in shortened(words)
    assert "trainer.max_epochs=2" in shortened(["pipeline", "train", "trainer.max_epochs=9"])
