"""Commands of the documents, shortened to a few seconds each."""

from __future__ import annotations

import shlex
import sys

import pytest

from pipeline import cli

# Appended to a command that does not set the key itself: little data, few epochs, no record.
SHORTER = {
    "train": (
        "data.fraction=0.1",
        "trainer.max_epochs=2",
        "trainer.sample_size=100",
        "signals.sample_size=100",
        "tracking=none",
    ),
    "tune-rate": ("steps=5", "data.fraction=0.1"),
    "evaluate": (
        "evaluation.num_resamples=100",
        "evaluation.corruption_size=50",
        "evaluation.severities=[3]",
        "tracking=none",
    ),
}
# Put in the place of a command's own value.
SMALLER = {"n_trials": "2", "n_jobs": "1", "seeds": "2"}
COMMANDS = {"train", "tune-rate", "evaluate", "diagnose", "compare", "predict", "sweep-report"}


def shortened(words: list[str]) -> list[str]:
    """The arguments of a ``pipeline`` command, smaller; another program is refused."""
    program, command, *overrides = words
    assert program == "pipeline", f"{program}: not a command of this project"
    assert command in COMMANDS, f"pipeline {command}: not shortened by this test"
    overrides = [_smaller(override) for override in overrides]
    extra = [o for o in SHORTER.get(command, ()) if not _overruled(o, overrides)]
    return [command, *overrides, *extra]


def _overruled(extra: str, overrides: list[str]) -> bool:
    """Whether a sweep has its own values for this key, or the command turns the group off."""
    key = extra.partition("=")[0]
    if f"{key.partition('.')[0]}=none" in overrides:
        return True
    values = dict(override.partition("=")[::2] for override in overrides)
    return "-m" in overrides and "," in values.get(key, "")


def _smaller(override: str) -> str:
    key, equals, _ = override.partition("=")
    return f"{key}={SMALLER[key]}" if equals and key in SMALLER else override


def run(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run a command of a document in this process; it must end with 0."""
    monkeypatch.setattr(sys, "argv", ["pipeline", *shortened(words)])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    code = cli.main()
    assert code == 0, f"{shlex.join(words)}\n{capsys.readouterr().err}"
