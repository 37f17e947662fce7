"""The pictures of the page in words, for readers who do not see them."""

from __future__ import annotations

import pytest

from drawn import HISTORY, ROWS, SPACE, VERIFICATION
from pipeline.reporting.model_report import ModelReport
from pipeline.reporting.pictures import alt_text

MODEL = ModelReport(
    "cnn",
    metrics={
        "test/calibration_error": 0.05,
        "test/calibration_error_low": 0.04,
        "test/calibration_error_high": 0.06,
        "test/f1/Bag": 0.7,
        "test/f1/Coat": 0.6,
    },
    history=HISTORY,
    confusions=[("<b>Coat</b>", "Bag", 7)],
    generalization=ROWS,
    verification=VERIFICATION,
)


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("learning_curves", "training loss goes from 1 to 0.333"),
        ("confusion", "Most often: <b>Coat</b> taken for Bag (7)."),
        ("reliability", f"Calibration error 5.00{SPACE}%, interval 4.00{SPACE}% … 6.00{SPACE}%."),
        ("generalization", f"Lowest: 50.00{SPACE}% on shift of severity 3."),
        ("verification", f"more data 20{SPACE}% [10, 30], confirmed"),
        ("per_class", f"The weakest class is Coat with an F1 of 60.00{SPACE}%"),
        ("own_plot", "Own plot of cnn."),
    ],
)
def test_a_picture_is_described_with_its_numbers(stem: str, expected: str) -> None:
    assert expected in alt_text(MODEL, stem)


def test_a_picture_without_numbers_is_described_by_its_heading() -> None:
    assert alt_text(ModelReport("bare"), "confusion") == "Confusion of bare."
