"""What the Tab key offers, in real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import read_line
from pipeline.commands.completion import BASH, ZSH, offered


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("pipeline tr", ["train"]),
        ("pipeline train mod", ["model=", *(f"model.{key}=" for key in (
            "depth", "dropout", "name", "normalization", "width"))]),
        ("pipeline train model=c", ["model=cnn"]),
        ("pipeline train model=cnn model.k", ["model.kernel_size="]),
        ("pipeline train trainer.keep=", ["trainer.keep=best", "trainer.keep=last"]),
        ("pipeline train --m", ["--multirun"]),
        ("pipeline train -m n_", ["n_jobs=", "n_trials="]),
        ("pipeline predict output=j", ["output=json"]),
        ("pipeline compare metric=time", ["metric=time_gradients"]),
        ("pipeline evaluate experiment=best", ["experiment=best_cnn"]),
        ("pipeline verify se", ["seeds="]),
        ("pipeline report models=", ["models=[cnn", "models=[mlp"]),
        ("pipeline report models=[mlp,c", ["models=[mlp,cnn"]),
        ("pipeline report models=[mlp,", ["models=[mlp,cnn"]),
        ("pipeline verify seeds=3 se", []),
        ("pipeline train seed=1 se", ["seeds=", "seeds_per_trial="]),
        ("pipeline train --multirun --m", []),
        ("pipeline diagnose name=", ["name=mlp"]),
        ("pipeline completion z", ["zsh"]),
        ("pipeline nonsense x", []),
    ],
)  # fmt: skip
def test_the_words_that_may_follow(line: str, words: list[str], project: Path) -> None:
    for name in ("mlp", "cnn"):
        (project / "models" / name).mkdir(parents=True)
    (project / "results" / "mlp").mkdir(parents=True)
    (project / "results" / "mlp" / "history.csv").touch()
    assert offered(line, here=project) == sorted(words)


def test_a_long_line_is_completed_too() -> None:
    line = f"pipeline train {'data.batch_size=128 ' * 20}mod"
    assert read_line("completion", f"words={line}").options.words == line


def test_outside_of_a_project_options_are_offered(tmp_path: Path) -> None:
    assert offered("pipeline verify b", here=tmp_path) == ["budget="]


def test_completion_loads_neither_torch_nor_hydra(project: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from pipeline.commands.completion import offered\n"
        "offered('pipeline train model.', here=Path.cwd())\n"
        "heavy = {'torch', 'hydra', 'omegaconf', 'numpy'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.fixture
def shell_environment(project: Path) -> dict[str, str]:
    """An environment in which `pipeline` is this interpreter's."""
    script = project / "bin" / "pipeline"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m pipeline "$@"\n')
    script.chmod(0o755)
    return {**os.environ, "PATH": f"{script.parent}:{os.environ['PATH']}"}


def in_bash(line: str, environment: dict[str, str]) -> list[str]:
    """The words that bash offers at the end of a line, by its own rules of words."""
    words = line.replace("=", " = ").split(" ") if "=" in line else line.split(" ")
    words = [word for word in words[:-1] if word] + [words[-1]]
    script = (
        f"{BASH}\nCOMP_LINE={line!r} COMP_POINT={len(line)}\n"
        f"COMP_WORDS=({' '.join(repr(word) for word in words)}) COMP_CWORD={len(words) - 1}\n"
        "_pipeline\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n"
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("pipeline eva", ["evaluate "]),
        ("pipeline train activation=s", ["selu", "sigmoid", "silu"]),
        ("pipeline train model=gr", ["gru "]),
        ("pipeline train model.wid", ["model.width="]),
    ],
)
def test_bash_completes(line: str, words: list[str], shell_environment: dict[str, str]) -> None:
    assert in_bash(line, shell_environment) == words


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["pipeline", "train", "model=g"], ["model=gru"]),
        (["pipeline", "predict", "dig"], ["a file of dig"]),
        (["pipeline", "export", "file=dig"], ["a file of dig"]),
    ],
)
def test_zsh_completes(
    words: list[str], offered: list[str], shell_environment: dict[str, str]
) -> None:
    stand_ins = """
    compadd() { print -l -- ${@:#-*} }
    compset() { PREFIX=${PREFIX#*=} }
    _files() { print -- "a file of $PREFIX" }
    """
    typed = f"words=({' '.join(words)}) CURRENT={len(words)} PREFIX={words[-1]}\n_pipeline"
    done = subprocess.run(
        ["zsh", "-f", "-c", f"{ZSH}\n{stand_ins}\n{typed}"],
        env=shell_environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line for line in done.stdout.splitlines() if line] == offered
