"""A verification in a narrow terminal: what is copied from it stays whole."""

from __future__ import annotations

import pytest

from pipeline.reporting.verification_text import show_verification
from verification_cases import AS_BEFORE, AS_IT_WAS, MUCH_LOWER, SLIGHTLY_LOWER, arm, verification


def test_the_name_of_an_arm_is_whole_in_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    names = ("learning_rate*333.333", "early_stopping")
    show_verification(verification(arm(names[0], MUCH_LOWER), arm(names[1], AS_BEFORE)))
    printed = capsys.readouterr().out
    firsts = {line.split()[0] for line in printed.splitlines() if line.strip()}
    assert set(names) <= firsts and "control: random search" in printed, printed


def test_only_an_arm_that_looks_better_is_worth_more_seeds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    worse = tuple(loss + 0.01 * (-1) ** place + 0.005 for place, loss in enumerate(AS_IT_WAS))
    show_verification(verification(arm("worse", worse), arm("better", SLIGHTLY_LOWER)))
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert "not confirmed" in lines["worse"] and "needs" not in lines["worse"], lines["worse"]
    assert "not confirmed, needs" in lines["better"], lines["better"]
