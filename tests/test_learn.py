"""docs/learn.md: every command of it runs, shortened, and makes the pictures that its section promises."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from pipeline import cli

ROOT = Path(__file__).parents[1]
DOC = ROOT / "docs" / "learn.md"
# Appended to a command, unless it sweeps the same key: little data, few epochs, no record.
SHORTER = {
    "train": (
        "data.fraction=0.1",
        "trainer.max_epochs=2",
        "trainer.probe_size=100",
        "signals.probe_size=100",
        "tracking=none",
    ),
    "evaluate": (
        "evaluation.num_resamples=100",
        "evaluation.corruption_size=50",
        "evaluation.severities=[3]",
        "tracking=none",
    ),
}
COMMANDS = {"train", "evaluate", "diagnose", "compare", "predict"}
LARGEST_PICTURE = 80_000


def sections(text: str) -> dict[str, str]:
    """Heading → text of each section that has a block of commands."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)[1:]
    return {head: body for head, body in zip(parts[::2], parts[1::2], strict=True) if "```sh" in body}


def commands(section: str) -> list[list[str]]:
    """Every command of the section's blocks, split as a shell does; a backslash continues a line."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def promised(section: str) -> set[str]:
    """The pictures that a section says its commands make."""
    return set(re.findall(r"`(results/[\w./-]+\.png)`", section))


def shortened(words: list[str]) -> list[str]:
    program, command, *overrides = words
    assert program == "pipeline", f"{program}: not a command of this project"
    assert command in COMMANDS, f"pipeline {command}: not shortened by this test"
    swept = {o.partition("=")[0] for o in overrides if "-m" in overrides and "," in o.partition("=")[2]}
    extra = [o for o in SHORTER.get(command, ()) if o.partition("=")[0] not in swept]
    return [command, *overrides, *extra]


def run(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["pipeline", *shortened(words)])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    code = cli.main()
    assert code == 0, f"{shlex.join(words)}\n{capsys.readouterr().err}"


SECTIONS = sections(DOC.read_text())


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_commands_of_a_section_run_and_make_its_pictures(
    heading: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "docs" / "pictures", project / "docs" / "pictures")
    listed = commands(SECTIONS[heading])
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
        made = sum(words[1] == "compare" for words in commands(section))
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
    (found,) = commands(f"## 1. x\n```sh\n{line}   # a remark\n```\n")
    with pytest.raises(AssertionError):
        run(found, monkeypatch, capsys)


def test_what_a_line_sweeps_is_left_to_it() -> None:
    words = shlex.split("pipeline train -m trainer.max_epochs=1,2 'x=[1,2]' seed=3")
    assert "trainer.max_epochs=2" not in shortened(words)
    assert "data.fraction=0.1" in shortened(words)
    assert "trainer.max_epochs=2" in shortened(["pipeline", "train", "trainer.max_epochs=9"])
