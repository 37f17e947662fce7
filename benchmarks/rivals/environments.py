"""The tools, each with its version and its own environment, and how an adapter is run in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rivals.histories import Labelled

ADAPTERS = Path(__file__).parent / "adapters"
INSTALL_S, JUDGE_S = 300, 3600  # limits of one installation and of one tool's whole judgement


class Unavailable(Exception):
    """A tool cannot be had or cannot be run; the message says why, in one line."""


@dataclass(frozen=True)
class Tool:
    """A tool on the package index. version: the one that its adapter was written for."""

    name: str
    version: str

    @property
    def adapter(self) -> Path:
        return ADAPTERS / f"{self.name.replace('-', '_')}_adapter.py"


OURS = Tool("pipeline", version("pipeline"))
RIVALS = (
    Tool("runmedic", "0.1.1"),
    Tool("trainspotter", "0.2.6"),
    Tool("losslint", "0.4.1"),
    Tool("sk-autod", "0.1.1"),
    Tool("training-doctor", "0.1.0"),
)


def python_of(tool: Tool, cache: Path) -> Path:
    """Return the Python of a tool's environment under ``cache``, made now if it is not there.

    Our own is the one that runs this. Raises `Unavailable` with the installer's last words.
    """
    if tool == OURS:
        return Path(sys.executable)
    environment = cache / tool.name / "venv"
    python, installed = environment / "bin" / "python", environment / "installed.txt"
    if not (installed.is_file() and installed.read_text() == tool.version):
        installed.unlink(missing_ok=True)
        print(f"{tool.name} {tool.version}: installing", file=sys.stderr)
        _run([sys.executable, "-m", "venv", "--clear", str(environment)], INSTALL_S)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*map(str, install), f"{tool.name}=={tool.version}"], INSTALL_S)
        installed.write_text(tool.version)  # last: a killed installation is not taken for one
    return python


def verdicts(tool: Tool, histories: Sequence[Labelled], cache: Path) -> list[dict[str, Any]]:
    """Return a tool's answer to each history, in their order: the lines of its adapter.

    The adapter gets the curves alone, never the labels. Raises `Unavailable`.
    """
    python = python_of(tool, cache)
    lines = "".join(history.line + "\n" for history in histories)
    print(f"{tool.name} {tool.version}: {len(histories)} histories", file=sys.stderr)
    rows = [
        json.loads(text)
        for text in _run([str(python), str(tool.adapter)], JUDGE_S, lines).splitlines()
    ]
    if [row["id"] for row in rows] != [history.id for history in histories]:
        raise Unavailable(f"gave {len(rows)} answers to {len(histories)} histories")
    return rows


def _run(command: Sequence[str], limit_s: float, text: str = "") -> str:
    """Run a command without the paths of this process and return what it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(
            command, input=text, env=environment, timeout=limit_s, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"took longer than {limit_s:.0f} s") from error
    except OSError as error:
        raise Unavailable(str(error)) from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise Unavailable(f"failed with exit code {done.returncode}: {words[-1]}")
    return done.stdout
