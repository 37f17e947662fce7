"""The options of verify and heal on the command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from command_line import read_line
from pipeline.commands.verify import patient_of
from pipeline.errors import ConfigError


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("seeds=two", "seeds=two: must be a whole number from 3 to 1000"),
        ("seeds=5.0", "seeds=5.0: must be a whole number from 3 to 1000"),
        ("seeds=1_0", "seeds=1_0: must be a whole number from 3 to 1000"),
        ("seeds=5e0", "seeds=5e0: must be a whole number from 3 to 1000"),
        ("remedy=x", "remedy=x: unknown option of verify. Did you mean remedies=?"),
        ("budget=", "budget=: has no value"),
        ("name=", "name=: has no value"),
        ("run=", "run=: has no value"),
    ],
)
def test_a_mistyped_option_is_refused(wrong: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_line("verify", wrong)


@pytest.mark.parametrize(
    "setting",
    ["trainer.num_threads=1", "model=cnn", "+callbacks.own=1", "experiment=tutorial_cnn"],
)
@pytest.mark.parametrize("command", ["verify", "heal"])
def test_a_setting_of_the_training_is_refused_with_the_way_to_it(
    command: str, setting: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        read_line(command, "name=mlp", setting)
    said = str(refused.value)
    assert said.startswith(f"{setting}: {command} trains its runs with the settings of the run")
    assert said.endswith(f"pipeline train name=<name> … {setting}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["name=mlp", "seed=3"], "seed=3: unknown option of verify. Did you mean seeds=?"),
        (["cmd=echo {seed}", "data.x=3"], "data.x=3: unknown option of verify"),
    ],
)
def test_other_unknown_words_are_not_taken_for_settings(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_line("verify", *words)


def test_a_run_is_named_in_one_way(project: Path) -> None:
    with pytest.raises(ConfigError, match="run=0123abcd: give only one of name=, run="):
        patient_of(read_line("verify", "name=mlp", "run=0123abcd").options, project)
