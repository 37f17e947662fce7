"""Verdicts on curves alone: clear cases, facts that need no model, and honest silence."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.diagnosis import Context, History, diagnose
from pipeline.diagnosis.learned.numbers import NAMES, Curves, numbers
from pipeline.diagnosis.learned.sentences import in_words
from pipeline.diagnosis.learned.verdict import family_said
from pipeline.diagnosis.record import FAMILIES, HEALTHY, UNDETERMINED

E = np.arange(20.0)
NOISE = 0.01 * np.sin(7 * E)
GOOD = 0.1 + 2.2 * 0.6**E + NOISE
CLEAR = {
    "overfitting": {
        "train/loss": 2.2 * 0.7**E,
        "val/loss": 0.5 + 1.7 * 0.5**E + 0.06 * np.maximum(E - 4, 0),
        "train/accuracy": 1 - 0.8 * 0.7**E,
        "val/accuracy": 0.85 - 0.6 * 0.5**E,
    },
    "healthy": {
        "train/loss": GOOD,
        "val/loss": GOOD + 0.04,
        "train/accuracy": 0.97 - 0.6 * 0.6**E,
        "val/accuracy": 0.96 - 0.6 * 0.6**E,
    },
    "not_learning": {
        "train/loss": np.full(20, math.log(10)) + 0.002 * np.sin(5 * E),
        "val/loss": np.full(20, math.log(10)) + 0.003 * np.sin(3 * E),
        "train/accuracy": np.full(20, 0.1) + 0.003 * np.sin(4 * E),
        "val/accuracy": np.full(20, 0.1) + 0.004 * np.sin(2 * E),
    },
    "undertrained": {
        "train/loss": 2.3 * 0.78 ** E[:5],
        "val/loss": 2.2 * 0.76 ** E[:5],
        "train/accuracy": 0.15 + 0.13 * E[:5],
        "val/accuracy": 0.2 + 0.13 * E[:5],
    },
}


def history(curves: dict[str, np.ndarray], **known: int) -> History:
    length = len(next(iter(curves.values())))
    return History(np.arange(length), curves, context=Context(**known))  # type: ignore[arg-type]


@pytest.mark.parametrize("verdict", list(CLEAR))
def test_a_clear_case_is_named_without_being_told_anything(verdict: str) -> None:
    found = diagnose(history(CLEAR[verdict]))
    assert found.told_by == "shape"
    assert (found.verdict, found.family) == (verdict, FAMILIES[verdict])
    assert len(found.evidence) == 3
    assert sum(each.probability for each in found.likely) == pytest.approx(1.0)


def test_a_loss_that_becomes_infinite_is_unstable() -> None:
    lost = np.array([2.0, 1.5, 1.2, math.inf, math.inf])
    found = diagnose(history({"train/loss": lost}))
    assert (found.verdict, found.family) == ("learning_rate_too_high", "unstable")
    assert found.confidence >= 0.9


def test_curves_that_never_move_do_not_learn_however_high_the_accuracy() -> None:
    """A model that always answers the majority's class has 99.8 % here."""
    flat = {"train/loss": np.full(10, 0.0265), "val/loss": np.full(10, 0.0265),
            "val/accuracy": np.full(10, 0.9983)}  # fmt: skip
    assert diagnose(history(flat)).verdict == "not_learning"


def test_an_accuracy_that_never_moves_is_never_healthy() -> None:
    """Both losses fall as in a healthy run, yet every answer is the largest class, 72 % of all."""
    curves = CLEAR["healthy"] | {"val/accuracy": 0.72 + 0.001 * np.sin(E)}
    assert diagnose(history(curves)).verdict == "not_learning"
    curves["val/accuracy"] = curves["val/accuracy"] + 0.26
    assert diagnose(history(curves)).verdict == HEALTHY


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_points_are_too_few(count: int) -> None:
    found = diagnose(history({"train/loss": E[:count] + 1, "val/loss": E[:count] + 1}))
    assert found.verdict == UNDETERMINED
    assert "3 points" in found.settle
    assert found.in_words == "undetermined"


@pytest.mark.parametrize(
    ("loss", "verdict", "words"),
    [
        (2.3 * 0.8 ** E[:8], UNDETERMINED, "still falls"),
        (0.4 + 2 * 0.3**E, UNDETERMINED, "come to rest"),
        (2.303 + 0.006 * np.sin(5 * E), "not_learning", ""),
        (np.append(1.2 * 0.95 ** E[:10], [13.0, 26.0, 26.0]), "learning_rate_too_high", ""),
        (np.array([2.0, 1.0, math.inf]), "learning_rate_too_high", ""),
    ],
    ids=["still_falling", "at_rest", "flat", "blown_up", "lost"],
)
def test_training_loss_alone_is_judged_for_what_it_shows(
    loss: np.ndarray, verdict: str, words: str
) -> None:
    found = diagnose(history({"train/loss": loss}))
    assert found.verdict == verdict
    assert words in found.reason
    assert "validation loss" in found.settle


@pytest.mark.parametrize(
    ("families", "said"),
    [
        ({HEALTHY: 0.35, "unstable": 0.65}, HEALTHY),
        ({HEALTHY: 0.2, "unstable": 0.7, "does_not_fit": 0.1}, "unstable"),
        ({HEALTHY: 0.2, "unstable": 0.4, "does_not_fit": 0.4}, ""),
    ],
)
def test_a_family_is_named_where_it_is_likely_enough(families: dict[str, float], said: str) -> None:
    assert family_said(families) == said


def test_every_number_of_every_clear_case_has_plain_words() -> None:
    for curves in CLEAR.values():
        by_name = {name.replace("/", "_"): y for name, y in curves.items()}
        given = Curves(
            **by_name, learning_rate=np.full(len(curves["val/loss"]), 0.01), num_classes=10
        )
        found = numbers(given)
        for name in NAMES:
            text = in_words(name, found, given)
            assert text == "" or (text[0].isupper() and text.endswith(".")), name
            assert "_" not in text and "nan" not in text, text
