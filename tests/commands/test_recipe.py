"""The recipe of docs/own_data.md: from a folder and a module of one's own to a proved remedy."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from coloured import make_coloured
from document import recipe, shell_commands
from outside_package import file_of
from pipeline import cli
from pipeline.evaluation.metrics_files import read_metrics

CLASSES = ("bird", "cat", "dog", "fish")
# Only sizes: each command is typed as the page has it.
SMALLER = {
    "preprocess": ("data.validation_size=0.3",),
    "train": (
        *("data.validation_size=0.3", "trainer.max_epochs=1", "model.width=4"),
        *("trainer.num_threads=1", "trainer.accelerator=cpu", "signals.sample_size=50"),
        "tracking=none",
    ),
    "evaluate": ("evaluation.num_resamples=100", "evaluation.severities=[3]", "tracking=none"),
}


@pytest.fixture
def own(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the page's files, and few of a person's coloured pictures."""
    for body in re.findall(r"^```(?:python|yaml)\n(.*?)^```$", recipe(), flags=re.M | re.S):
        path = project / file_of(body)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body)
    make_coloured(project / "photos", side=32, counts=(40,) * len(CLASSES))
    for label, name in enumerate(CLASSES):
        (project / "photos" / f"class_{label:02}").rename(project / "photos" / name)
    monkeypatch.syspath_prepend(project)
    monkeypatch.delitem(sys.modules, "mynet", raising=False)
    return project


def typed(words: list[str], capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> str:
    """Run a command of the page, smaller; return what it printed. It must end with 0."""
    proved = any(word.endswith("_verified") for word in words)  # it holds the smaller sizes
    extra = ("tracking=none",) if proved else SMALLER.get(words[0], ())
    patch.setattr(sys, "argv", ["pipeline", *words, *extra])
    code = cli.main()
    told = capsys.readouterr()
    assert code == 0, f"{shlex.join(words)}\n{told.out}{told.err}"
    return told.out


def test_the_recipe_leads_to_a_proved_remedy(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    export, *commands = shell_commands(recipe())
    assert export == ["export", "PYTHONPATH=."]
    names = [words[1] for words in commands]
    printed = {}
    for program, *words in commands:
        assert program == "pipeline"
        printed[words[0]] = typed(words, capsys, monkeypatch)
    # Each command but the first names the next one.
    assert shlex.join(commands[names.index("verify")]) in as_typed(printed["diagnose"])
    assert "pipeline train experiment=first_verified" in printed["verify"]
    first, better = (read_metrics(own / "results" / name) for name in ("first", "better"))
    assert better["test/cross_entropy"] < first["test/cross_entropy"]
    assert (own / "results" / "report.html").is_file()


def as_typed(text: str) -> list[str]:
    """The commands of an output, with quotes as `shlex.join` writes them."""
    lines = (line.strip() for line in text.splitlines())
    return [shlex.join(shlex.split(line)) for line in lines if line.startswith("pipeline ")]
