"""``fail_on=``: a verdict as an exit code; and the stable JSON of ``output=json``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import cli
from pipeline.commands.fail_on import certain, exit_code
from pipeline.diagnosis import Diagnosis, diagnose
from pipeline.diagnosis.record import Finding
from planted_history import history

NOTHING: dict[str, Any] = {
    "ranked": (), "follow": (), "undecided": (), "ruled_out": (), "not_run": ()
}  # fmt: skip


def finding(verdict: str, probability: float) -> Finding:
    return Finding(verdict=verdict, probability=probability, what="", harm="", conditions=())


def of_shape(verdict: str, family: str, sure: float, family_sure: float) -> Diagnosis:
    return Diagnosis(
        name="x", verdict=verdict, confidence=sure, findings=(), family=family,
        family_confidence=family_sure, told_by="shape", **NOTHING,
    )  # fmt: skip


OVERFITTING = of_shape("overfitting", "fits_and_fails", 0.6, 0.9)
HEALTHY = of_shape("healthy", "healthy", 0.9, 0.9)
OPEN = of_shape("undetermined", "", 0.0, 0.0)
TWO = Diagnosis(
    name="x", verdict="dead_units", confidence=0.95, family="does_not_fit", family_confidence=0.95,
    findings=(finding("dead_units", 0.95), finding("overfitting", 0.7)), **NOTHING,
)  # fmt: skip


@pytest.mark.parametrize(
    ("diagnosis", "fail_on", "fail_from", "code"),
    [
        (OVERFITTING, ("overfitting",), 0.5, 3),
        (OVERFITTING, ("overfitting",), 0.6, 3),  # from it on
        (OVERFITTING, ("overfitting",), 0.61, 0),
        (OVERFITTING, ("fits_and_fails",), 0.9, 3),
        (OVERFITTING, ("any",), 0.9, 3),
        (OVERFITTING, ("any",), 0.91, 0),
        (OVERFITTING, ("label_noise", "unstable"), 0.0, 0),
        (OVERFITTING, ("unstable", "overfitting"), 0.5, 3),
        (HEALTHY, ("any",), 0.0, 0),
        (OPEN, ("any",), 0.0, 0),
        (TWO, ("overfitting",), 0.5, 3),
        (TWO, ("fits_and_fails",), 0.71, 0),
        (TWO, ("does_not_fit",), 0.95, 3),
        (TWO, (), 0.0, 0),
    ],
)
def test_the_exit_code_is_three_where_a_named_verdict_is_certain_enough(
    diagnosis: Diagnosis, fail_on: tuple[str, ...], fail_from: float, code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert exit_code(certain(diagnosis), fail_on, fail_from, what="x: y") == code
    told = capsys.readouterr()
    assert told.out == "" and bool(told.err) == bool(code)


def csv_of(path: Path, *, rises: bool) -> Path:
    epochs = np.arange(40)
    train = 1.8 * np.exp(-0.25 * epochs) + (0.02 if rises else 0.3)
    val = train + 0.2 + (0.08 * np.maximum(epochs - 10, 0) if rises else 0)
    lines = [f"{e},{a:.4f},{b:.4f}" for e, a, b in zip(epochs, train, val, strict=True)]
    path.write_text("epoch,loss,val_loss\n" + "\n".join(lines) + "\n")
    return path


def command(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["pipeline", *words])
    return cli.main()


def test_the_command_exits_with_three(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rising = f"history={csv_of(project / 'rising.csv', rises=True)}"
    fail_on = "fail_on=[unstable,fits_and_fails]"
    assert command("diagnose", rising, fail_on, monkeypatch=monkeypatch) == 3
    told = capsys.readouterr()
    assert told.err.startswith("fail_on=fits_and_fails: rising.csv: ")
    assert told.err.endswith("exit code 3\n") and "rising.csv" in told.out
    calm = f"history={csv_of(project / 'calm.csv', rises=False)}"
    assert command("diagnose", calm, "fail_on=fits_and_fails", monkeypatch=monkeypatch) == 0
    assert command("diagnose", rising, "output=json", "fail_on=any", monkeypatch=monkeypatch) == 3
    told = capsys.readouterr()
    assert json.loads(told.out[told.out.index("{") :])["family"] == "fits_and_fails"


def test_a_run_of_ones_own_fails_by_its_name(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.runs.history import read_run

    found = diagnose(read_run("mlp", root=tiny_model).history)
    words = ["diagnose", "name=mlp", f"fail_on={found.verdict}", "fail_from=0"]
    if not found.family or found.verdict == "healthy":
        words[2] = "fail_on=any"
    code = command(*words, monkeypatch=monkeypatch)
    assert code == (3 if certain(found) else 0), capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("fail_on=overfiting", "fail_on=overfiting: is no fault. Did you mean overfitting?"),
        ("fail_on=healthy", "fail_on=healthy: is no fault"),
        ("fail_from=0.3", "fail_from: has no effect without fail_on="),
        ("fail_from=2", "fail_from=2: must be a number from 0 to 1"),
    ],
)
def test_a_word_that_is_no_fault_is_refused(
    project: Path, word: str, message: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = csv_of(project / "log.csv", rises=True)
    assert command("diagnose", f"history={path}", word, monkeypatch=monkeypatch) == 2
    assert message in capsys.readouterr().err


# --- the stable form of the JSON: a name may be added, none may go -------------------------------

CONDITION = {
    "key", "what", "value", "low", "high", "unit", "wanted", "limit", "probability", "epochs",
}  # fmt: skip
FINDING = {"verdict", "probability", "what", "harm", "conditions", "evidence", "remedies"}
DIAGNOSIS = {
    "version", "name", "verdict", "confidence", "ranked", "reason", "findings", "follow",
    "undecided", "ruled_out", "not_run", "remedies", "probes", "told_by", "family",
    "family_confidence", "likely", "evidence", "notes", "settle",
}  # fmt: skip


def test_the_json_of_curves_has_the_documented_names(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = csv_of(project / "log.csv", rises=True)
    cli.call("diagnose", [f"history={path}", "output=json"])
    told = json.loads(capsys.readouterr().out)
    assert told["version"] == 2 and told["told_by"] == "shape"
    assert set(told) == DIAGNOSIS
    assert set(told["findings"][0]) == FINDING
    assert set(told["likely"][0]) == {"verdict", "probability"}
    assert set(told["evidence"][0]) == {"key", "words", "weight"}
    assert sum(each["probability"] for each in told["likely"]) == pytest.approx(1, abs=1e-3)


def test_the_json_of_a_run_has_the_documented_names() -> None:
    from pipeline.files import to_json

    rising = np.array([0.5 + 0.05 * e for e in range(12)])
    found = diagnose(history(train=0.5 * 0.4 ** np.arange(12), val=rising))
    told = json.loads(to_json(found))
    assert told["told_by"] == "rules" and set(told) == DIAGNOSIS
    assert set(told["findings"][0]) == FINDING
    assert set(told["findings"][0]["conditions"][0]) == CONDITION
