"""The package of docs/own_code.md, outside of the repository, in a project that a test has made."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from document import ROOT
from pipeline import cli

PAGE = ROOT / "docs" / "own_code.md"
PACKAGE = "mystuff"
ALLOW = f"allow_targets=[{PACKAGE}]"
QUICK = {
    "data.fraction": "0.1",
    "trainer.max_epochs": "2",
    "trainer.sample_size": "100",
    "trainer.accelerator": "cpu",
    "signals.sample_size": "50",
    "tracking": "none",
}


def file_of(snippet: str) -> str:
    """The file that a snippet names in its first comments. A person pastes the whole snippet."""
    name = re.search(r"^# (\S+\.(?:py|yaml))$", snippet, flags=re.M)
    assert name
    return name[1]


def write_snippets(root: Path) -> None:
    """Write the page's files: the package beside the project, the options into its ``conf/``."""
    text = PAGE.read_text()
    for body in re.findall(r"^```(?:python|yaml)\n(.*?)^```$", text, flags=re.M | re.S):
        name = file_of(body)
        path = root / name if name.startswith("conf/") else root / "outside" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body)
    (root / "outside" / PACKAGE / "__init__.py").touch()


def make_package(root: Path, patch: pytest.MonkeyPatch) -> None:
    """Write the snippets, and let this process and its children import the package."""
    write_snippets(root)
    patch.syspath_prepend(root / "outside")
    patch.setenv("PYTHONPATH", str(root / "outside"))
    for module in [m for m in sys.modules if m.partition(".")[0] == PACKAGE]:
        patch.delitem(sys.modules, module)


def quick(words: list[str]) -> list[str]:
    """The words of a command, with little data and few epochs where it does not set them."""
    if words[0] != "train":
        return words
    given = {word.partition("=")[0] for word in words}
    return [*words, *(f"{key}={value}" for key, value in QUICK.items() if key not in given)]


def run(words: list[str], patch: pytest.MonkeyPatch) -> int:
    """Run a command in this process; return its exit code."""
    patch.setattr(sys, "argv", ["pipeline", *quick(words)])
    return cli.main()


def start(words: list[str]) -> subprocess.Popen[str]:
    """Start a command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *quick(words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def weights(name: str) -> bytes:
    """The weights of a model of the project in the working directory."""
    return Path("models", name, "model.safetensors").read_bytes()
