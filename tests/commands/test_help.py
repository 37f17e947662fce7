"""Each command's help names its options; the registry and the declarations agree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.commands.parse import keys_of
from pipeline.commands.registry import REGISTRY, load

COMMANDS = sorted(REGISTRY)


def help_of(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    monkeypatch.setattr(sys, "argv", ["pipeline", command, "--help"])
    assert cli.main() == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_names_every_option_and_flag(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = help_of(command, monkeypatch, capsys)
    declared = load(command)
    words = text.replace("<", "").replace(">", "").replace("=", "").split()
    assert [key for key in keys_of(declared) if key not in words] == []
    assert [flag for flag in declared.flags if flag.rstrip("=") not in words] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_fits_a_terminal_and_has_an_example(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = help_of(command, monkeypatch, capsys).splitlines()
    assert [line for line in lines if len(line) > 100] == []
    examples = lines[lines.index("Examples") + 1 :]
    assert examples and all(f"pipeline {command}" in line for line in examples)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_a_description(command: str) -> None:
    schemas = keys_of(load(command))
    assert [key for key, schema in schemas.items() if not schema.get("description")] == []


def test_the_help_of_train_shows_groups_and_settings_with_their_range(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = " ".join(help_of("train", monkeypatch, capsys).split())
    assert "model= mlp cnn gru lstm resnet rnn" in text
    assert (
        "trainer.max_epochs= passes over the training part (whole number from 1 up; default 10)"
        in text
    )
    assert (
        "model.dropout= probability that a unit is dropped (number from 0 below 1; default 0.2)"
        in text
    )
    assert (
        "trainer.precision= bits of the arithmetic; auto takes what pays "
        "(auto|32|bf16|16; default auto)" in text
    )


def test_the_help_of_train_works_outside_of_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "pipeline train -m model=mlp,cnn" in help_of("train", monkeypatch, capsys)


def test_a_declaration_loads_neither_torch_nor_hydra() -> None:
    code = (
        "import sys\n"
        "from pipeline.commands.registry import REGISTRY, load\n"
        "[load(name) for name in REGISTRY]\n"
        "heavy = {'torch', 'hydra', 'omegaconf', 'numpy', 'matplotlib', 'optuna', 'mlflow'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
