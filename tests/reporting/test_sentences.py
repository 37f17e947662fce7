"""The sentences of the report, and numbers as people read them."""

from __future__ import annotations

import pytest

from drawn import SPACE, VERIFICATION
from pipeline.diagnosis.record import HEALTHY, UNDETERMINED, Diagnosis, Finding
from pipeline.evaluation.intervals import wilson
from pipeline.records import Estimate
from pipeline.reporting import sentences
from pipeline.reporting.model_report import ModelReport


def diagnosis(verdict: str, *findings: Finding, reason: str = "") -> Diagnosis:
    return Diagnosis(
        name="cnn",
        verdict=verdict,
        confidence=0.874,
        ranked=(verdict,),
        reason=reason,
        findings=findings,
        follow=(),
        undecided=(),
        ruled_out=(),
        not_run=(),
    )


def model(name: str, hits: int) -> ModelReport:
    """A model with so many of 1,000 images right."""
    accuracy = wilson(hits, 1000)
    keys = ("test/accuracy", "test/accuracy_low", "test/accuracy_high")
    values = (accuracy.value, accuracy.low, accuracy.high)
    return ModelReport(name, dict(zip(keys, values, strict=True)))


@pytest.mark.parametrize(
    ("verdict", "reason", "expected"),
    [
        (HEALTHY, "", "Healthy (confidence 0.87): no rule finds a fault in its training."),
        (UNDETERMINED, "x is missing.", "Undetermined: x is missing."),
    ],
)
def test_a_verdict_without_a_fault_is_one_sentence(
    verdict: str, reason: str, expected: str
) -> None:
    assert sentences.of_verdict(diagnosis(verdict, reason=reason), None) == expected


def test_a_fault_is_named_with_the_remedy_that_was_proved() -> None:
    fault = Finding(
        verdict="over_regularized",
        probability=0.9,
        what="The penalty wins.",
        harm="",
        conditions=(),
    )
    found = diagnosis("over_regularized", fault)
    alone = "Over regularized (confidence 0.87): the penalty wins"
    assert sentences.of_verdict(found, None) == f"{alone}."
    assert sentences.of_verdict(found, VERIFICATION) == (
        f"{alone}; proved to help: more data, test loss falls by 18{SPACE}% [12, 24]."
    )


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ([model("a", 990), model("b", 900)], "no other model's interval reaches"),
        ([model("a", 905), model("b", 900), model("c", 700)], "interval of b overlaps"),
        ([model("a", 900)], f"a reaches a test accuracy of 90.00{SPACE}%."),
        ([ModelReport("a")], ""),
    ],
    ids=["ahead", "by_chance", "alone", "not_measured"],
)
def test_the_summary_tells_a_lead_from_chance(models: list[ModelReport], expected: str) -> None:
    assert expected in sentences.of_all(models)


def test_a_reduction_is_whole_percent_without_a_negative_zero() -> None:
    reduction = Estimate(-0.004, -0.02, 0.1236, 5)
    assert sentences.whole_percent(reduction) == f"0{SPACE}% [-2, 12]"
    assert sentences.plain_percent(reduction) == "0 % [-2, 12]"


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ((0.18, 0.13, 0.22), "lowers it by 18 % [13, 22]"),
        ((-0.5, -0.9, -0.1), "lowers it by -50 % [-90, -10]"),
        ((-3.78, -9.76, -1.13), "raises it to 4.8 times [2.1, 10.8]"),
    ],
)
def test_a_loss_that_more_than_doubles_is_told_in_times(
    shares: tuple[float, float, float], words: str
) -> None:
    value, low, high = shares
    assert sentences.lowers(Estimate(value, low, high, 6)) == words
