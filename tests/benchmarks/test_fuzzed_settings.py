"""A short run of benchmarks/fuzzed_settings.py, and its judgement of what was taken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import fuzzed_settings
from fuzzed_settings import Case, tried, wrongly_taken
from pipeline.errors import ConfigError

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fuzzed_settings.py"
MLP = {"_target_": "pipeline.models.MLP", "width": 3}


def test_a_hundred_cases_pass() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--cases", "100"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    _, tried, _, taken, _, failed = done.stdout.splitlines()[-1].replace(",", "").split()[1:]
    assert (tried, failed) == ("100", "0")
    assert int(taken) >= 20  # cases that are all refused prove nothing


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"seed": 0, "model": MLP}, ""),
        ({"seed": -1, "model": MLP}, "seed=-1 was taken"),
        ({"seed": True, "model": MLP}, "seed=True was taken"),
        ({"seed": 0, "model": {**MLP, "width": 0}}, "model.width=0 was taken"),
        ({"model": {"_target_": "os.system"}}, "_target_='os.system' was taken"),
        ({"augment": {"steps": [{"_target_": "eval"}]}, "model": MLP}, "_target_='eval' was taken"),
    ],
    ids=["sound", "negative", "truth_value", "zero", "target", "target_in_a_list"],
)
def test_what_is_wrongly_taken_is_found(values: dict[str, Any], said: str) -> None:
    assert wrongly_taken(values) == said


@pytest.mark.parametrize(
    ("raised", "said"),
    [(ConfigError("no"), ""), (ConfigError(""), "a message of 0"), (KeyError("x"), "KeyError")],
    ids=["refused", "without_words", "traceback"],
)
def test_only_a_message_is_a_refusal(
    raised: Exception, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(fuzzed_settings, "compose", refuse)
    assert tried(Case("test", []), tmp_path).failure.startswith(said)
    assert bool(tried(Case("test", []), tmp_path).failure) == bool(said)
