"""A verification in a narrow terminal: what is copied from it stays whole."""

from __future__ import annotations

import pytest

from pipeline.diagnosis.proof import Healing, Round
from pipeline.reporting.verification_text import (
    about,
    early_lines,
    plan_line,
    show_healing,
    show_verification,
    step_line,
)
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


@pytest.mark.parametrize(
    ("known", "left_s", "jobs", "line"),
    [
        (0, None, 1, "wide: 2 remedies and the controls, 29 runs"),
        (0, 370.0, 1, "wide: 2 remedies and the controls, 29 runs; about 6 min with n_jobs=1"),
        (0, 370.0, None, "wide: 2 remedies and the controls, 29 runs"),
        (
            12,
            65.4,
            2,
            "wide: 2 remedies and the controls, 29 runs; "
            "12 of 29 runs are known from earlier calls; about 65 s for 17 runs with n_jobs=2",
        ),
        (
            29,
            0.0,
            1,
            "wide: 2 remedies and the controls, 29 runs; all 29 runs are known from earlier calls",
        ),
    ],
)
def test_the_first_line_says_runs_known_and_time(
    known: int, left_s: float | None, jobs: int | None, line: str
) -> None:
    said = plan_line("wide", remedies=2, runs=29, known=known, left_s=left_s, num_jobs=jobs)
    assert said == line


def test_stop_early_says_its_way_its_least_and_its_most() -> None:
    said = early_lines("wide", remedies=["dropout", "l2"], least=13, most=59, times_s=(150, 700))
    way, count = said.splitlines()
    assert way.startswith("wide: tries dropout, l2, one after the other until one is enough. ")
    assert count == (
        "wide: a clear first remedy takes 13 runs with its controls, about 2 min; "
        "59 runs are the most, about 12 min"
    )
    alone = early_lines("wide", remedies=["l2"], least=13, most=39, times_s=None)
    assert "one after the other" not in alone and "controls; 39 runs" in alone


@pytest.mark.parametrize(
    ("known", "most_after", "end"),
    [
        (0, 9, "6 runs, about 30 s to the next decision; at most 9 may follow"),
        (
            2,
            9,
            "6 runs, 2 of them known from earlier calls, about 30 s to the next decision; "
            "at most 9 may follow",
        ),
        (6, 0, "6 runs, all known from earlier calls; the last ones"),
    ],
)
def test_a_step_says_its_runs_its_time_and_what_may_follow(
    known: int, most_after: int, end: str
) -> None:
    said = step_line("dropout", runs=6, known=known, left_s=30, most_after=most_after)
    assert said == f"now dropout: {end}"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "about 1 s"),
        (89, "about 89 s"),
        (90, "about 2 min"),
        (3600, "about 1 h 00 min"),
        (7780, "about 2 h 10 min"),
    ],
)
def test_an_estimate_is_said_roughly(seconds: float, words: str) -> None:
    assert about(seconds) == words


@pytest.mark.parametrize(
    ("verdict", "end", "line"),
    [
        ("healthy", "healthy", "wide: healthy now (0.87); ended: healthy"),
        (
            "undetermined",
            "undetermined",
            "wide: undetermined now; ended: without a verdict there is no remedy to prove",
        ),
    ],
)
def test_a_healing_says_how_it_ended(
    verdict: str, end: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # Its rounds were printed as they ended, so they are not printed again.
    steps = (Round("overfitting", 0.9, "dropout", ("model.dropout=0.5",), "10 %"),)
    show_healing(Healing("wide", steps, end, verdict, experiment=None, confidence=0.87))
    assert capsys.readouterr().out.splitlines() == [line]
