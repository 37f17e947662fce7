"""The diagnosis on the terminal."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
from rich.console import Console

from pipeline.diagnosis import Diagnosis, diagnose
from pipeline.diagnosis.probes import settle
from pipeline.diagnosis.probes.settle import evidence_of
from pipeline.diagnosis.record import SHARE, Condition
from pipeline.reporting import diagnosis_text, probe_text
from pipeline.reporting.diagnosis_text import sentence
from pipeline.reporting.remedy_command import verify_command
from planted_history import FAULTS, history
from probe_outcome import outcome

COMPLETE: dict[str, Any] = {
    "data": {"fraction": 0.5, "label_noise": 0.0},
    "model": {"name": "mlp", "width": 512, "depth": 2, "dropout": 0.0},
    "augment": {"name": "none"},
    "penalty": {"l1": 0.0, "l2": 0.0},
    "optimizer": {"name": "adam", "learning_rate": 1e-3, "weight_decay": 0.0},
    "loss": {"name": "cross_entropy"},
    "trainer": {"keep": "last", "max_epochs": 12},
}


def lines(
    diagnosis: Diagnosis, *, width: int = 80, command: str = "", proof: str = ""
) -> list[str]:
    """The printed lines. command: of every remedy."""
    console = Console(file=io.StringIO(), width=width, highlight=False)
    offered = [remedy for finding in diagnosis.findings for remedy in finding.remedies]
    commands = {remedy.overrides: command for remedy in offered}
    diagnosis_text.show(diagnosis, commands=commands, proof=proof, console=console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_long_text_is_wrapped_without_spaces_at_the_ends_of_lines() -> None:
    found = diagnose(history(**FAULTS["overfitting"], settings=COMPLETE))
    printed = lines(found, width=60)
    texts = [line for line in printed if not line.startswith("     ")]
    assert all(line == line.rstrip() and len(line) <= 60 for line in texts)
    assert any(line.startswith("  ") and not line.startswith("  •") for line in texts)


def condition(**changes: Any) -> Condition:
    fields: dict[str, Any] = {
        "what": "rise", "value": 0.1, "low": 0.08, "high": 0.12, "wanted": "above", "limit": 0.05,
        "probability": 0.9, "epochs": (3, 12), "unit": SHARE,
    }  # fmt: skip
    return Condition(**fields | changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "rise: 10 % (above 5 % counts; 95 % interval 8 % to 12 %; epochs 3-12)"),
        ({"low": 0.1, "high": 0.1}, "rise: 10 % (above 5 % counts; epochs 3-12)"),
        ({"low": 0.1, "high": 0.1, "epochs": (4, 4)}, "rise: 10 % (above 5 % counts; epoch 4)"),
        (
            {"wanted": "below", "unit": "×", "epochs": None},
            "rise: 0.1× (below 0.05× counts; 95 % interval 0.08× to 0.12×)",
        ),
        ({"unit": "", "low": 0.1, "high": 0.1, "epochs": None}, "rise: 0.1 (above 0.05 counts)"),
        ({"value": math.nan, "epochs": None}, "rise: not finite (above 5 % counts)"),
    ],
)
def test_a_condition_shows_number_interval_limit_and_epochs(
    changes: dict[str, Any], expected: str
) -> None:
    assert sentence(condition(**changes)) == expected


def test_the_verdict_comes_first() -> None:
    found = diagnose(history())
    assert lines(found)[0] == f"planted: healthy  (confidence {found.confidence:.2f})"


@pytest.mark.parametrize("width", [30, 80])
def test_a_command_is_never_wrapped(width: int) -> None:
    command = "pipeline train name=wide_dropout model.dropout=0.5 " + "model.width=512 " * 9
    printed = lines(
        diagnose(history(**FAULTS["overfitting"], settings=COMPLETE)), width=width, command=command
    )
    assert f"     {command}" in printed
    assert "dropout" in " ".join(printed)


def test_the_line_that_proves_the_remedies_comes_last() -> None:
    found = diagnose(history(**FAULTS["overfitting"], settings=COMPLETE))
    line = verify_command("name=planted", found.offered)
    assert line == 'pipeline verify name=planted "remedies=[more_data,dropout]" stop=early'
    assert lines(found, proof=line)[-1].strip() == line
    assert verify_command("name=planted", diagnose(history()).offered) == ""


def test_faults_that_lack_a_number_are_listed_with_it() -> None:
    names = (
        "exploding gradients, vanishing gradients, dead units, learning rate too low, label noise"
    )
    needs = "needs the network's signals (signals=standard)"
    printed = lines(diagnose(history(signals=False)), width=300)
    assert printed[-1] == f"  Not judged: {names} ({needs})"


def test_probes_show_each_change_and_one_summary() -> None:
    probes = settle(diagnose(history()), evidence_of(outcome()), settings={}).probes
    assert probes is not None
    console = Console(file=io.StringIO(), width=300, highlight=False)
    probe_text.show(probes, console=console)
    assert isinstance(console.file, io.StringIO)
    printed = console.file.getvalue()
    assert "against learning rate too high" in printed
    assert f"{probes.changes[0].before:.2f} -> {probes.changes[0].after:.2f}" in printed
    assert probe_text.summary(probes) in printed
    assert "The probes leave the verdict as it was: healthy" in printed


@pytest.mark.parametrize(
    ("value", "shown", "interval"),
    [
        (1.013, "1.013×", "1.004× to 1.02×"),
        (1.01, "1.01×", "1× to 1.02×"),
        (1.05, "1.05×", "1× to 1.02×"),
    ],
)
def test_a_value_has_the_digits_that_tell_it_from_its_limit(
    value: float, shown: str, interval: str
) -> None:
    near = condition(value=value, low=1.0041, high=1.02, limit=1.01, unit="×", epochs=None)
    assert sentence(near) == f"rise: {shown} (above 1.01× counts; 95 % interval {interval})"
