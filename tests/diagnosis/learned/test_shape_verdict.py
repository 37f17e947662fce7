"""Verdicts on curves alone: clear cases, facts that need no model, and honest silence."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.diagnosis import Context, History, diagnose
from pipeline.diagnosis.learned import verdict
from pipeline.diagnosis.learned.facts import guarded_at_end
from pipeline.diagnosis.learned.model import Judged, fitted
from pipeline.diagnosis.learned.numbers import NAMES, Curves, numbers
from pipeline.diagnosis.learned.sentences import in_words
from pipeline.diagnosis.learned.verdict import family_said
from pipeline.diagnosis.live import LiveJudge
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


ZERO, ONE = np.zeros(10), np.ones(10)
FLICKER = np.tile([1e-4, 0.0], 5)  # of losses that are rounded to four digits
STILL = np.full(10, 0.7)


@pytest.mark.parametrize(
    "curves",
    [
        {"train/loss": ZERO},
        {"train/loss": ZERO, "val/loss": ZERO},
        {"val/loss": ZERO, "val/accuracy": ONE},
        {"train/loss": FLICKER, "val/loss": FLICKER[::-1], "train/accuracy": ONE,
         "val/accuracy": ONE},
        {"train/accuracy": ONE, "val/accuracy": ONE},
    ],
    ids=["training_alone", "losses", "validation_alone", "rounded", "accuracies"],
)  # fmt: skip
def test_a_log_without_any_error_is_perfect_or_rounded(curves: dict[str, np.ndarray]) -> None:
    found = diagnose(history(curves))
    assert found.verdict == UNDETERMINED
    assert "perfect before the log began" in found.reason and "rounds" in found.reason


@pytest.mark.parametrize("val", [{"val/loss": STILL}, {"val/loss": STILL, "val/accuracy": STILL}])
def test_a_training_loss_of_0_has_learned_whatever_stands_still(val: dict[str, np.ndarray]) -> None:
    curves = {"train/loss": ZERO, **val}
    found = diagnose(history(curves))
    assert found.verdict != "not_learning" and "perfect" not in found.reason
    alarms = LiveJudge(dict.fromkeys(FAMILIES.values(), 0.3)).see(history(curves))
    assert [each for each in alarms if each.family == "does_not_fit"] == []


def test_a_validation_loss_of_0_does_not_excuse_a_training_that_stands_still() -> None:
    found = diagnose(history({"train/loss": STILL, "val/loss": ZERO}))
    assert found.verdict == "not_learning"


@pytest.mark.parametrize("noise", [0.002, 0.004])
@pytest.mark.parametrize(
    ("end", "does_not_fit"), [(1.0, True), (0.99, True), (1.01, True), (0.8, False), (0.3, False)]
)
def test_a_run_that_ends_where_it_began_does_not_fit(
    noise: float, end: float, does_not_fit: bool
) -> None:
    """Losses go in a straight line to a share of their start, with noise of 12 epochs."""
    line = 0.9 * np.linspace(1, end, 12)
    curves = {name: line + noise * np.random.default_rng(k).standard_normal(12)
              for k, name in enumerate(("train/loss", "val/loss"))}  # fmt: skip
    found = numbers(Curves(curves["train/loss"], curves["val/loss"]))
    sure = Judged({(HEALTHY, HEALTHY): 0.6, ("does_not_fit", "underfitting"): 0.3,
                   ("does_not_fit", "not_learning"): 0.1}, {}, 0.0)  # fmt: skip
    said = guarded_at_end(sure, found)
    assert said.families["does_not_fit"] == pytest.approx(0.95 if does_not_fit else 0.4)
    assert sum(said.classes.values()) == pytest.approx(1.0)
    assert said.within("does_not_fit")["underfitting"] == pytest.approx(
        3 * said.within("does_not_fit")["not_learning"]
    ), "the model says which fault"


@pytest.mark.parametrize(
    "better",
    [{"val_loss": 0.9 * np.linspace(1, 0.7, 12)}, {"val_accuracy": np.linspace(0.5, 0.6, 12)},
     {"val_accuracy": np.full(12, 0.98)}, {"train_loss": 0.9 + NOISE[:3] / 5},
     {"train_loss": None, "val_loss": 0.9 + NOISE[:12] / 5}],
    ids=["val_falls", "accuracy_rises", "nearly_all_right", "three_points", "no_training_loss"],
)  # fmt: skip
def test_one_curve_that_learns_is_enough(better: dict[str, np.ndarray]) -> None:
    flat = {"train_loss": np.full(12, 0.9) + NOISE[:12] / 5}
    found = numbers(Curves(**{**flat, **better}))
    sure = Judged({(HEALTHY, HEALTHY): 0.6, ("does_not_fit", "underfitting"): 0.4}, {}, 0.0)
    assert guarded_at_end(sure, found).families["does_not_fit"] == 0.4


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


LIMITS = {HEALTHY: 0.2, "unstable": 0.6, "does_not_fit": 0.9}


@pytest.mark.parametrize(
    ("families", "said"),
    [
        ({HEALTHY: 0.35, "unstable": 0.65}, "unstable"),
        ({HEALTHY: 0.2, "unstable": 0.1, "does_not_fit": 0.7}, HEALTHY),
        ({HEALTHY: 0.05, "unstable": 0.0, "does_not_fit": 0.95}, "does_not_fit"),
        ({HEALTHY: 0.05, "unstable": 0.5, "does_not_fit": 0.45}, "unstable"),
        ({HEALTHY: 0.15, "unstable": 0.4, "does_not_fit": 0.45}, ""),
    ],
)
def test_a_family_is_named_where_it_is_likely_enough(families: dict[str, float], said: str) -> None:
    families = {"unstable": 0.0, "does_not_fit": 0.0, **families}
    assert family_said(families, LIMITS) == said


def test_a_healthy_verdict_says_where_a_fault_is_likelier(monkeypatch: pytest.MonkeyPatch) -> None:
    curves = {"train/loss": 0.62 + 0.08 * 0.7**E + NOISE, "val/loss": 0.63 + 0.07 * 0.7**E - NOISE}
    careful = replace(fitted(), limits={**dict.fromkeys(fitted().limits, 1.1), HEALTHY: 0.0})
    monkeypatch.setattr(verdict, "fitted", lambda: careful)
    found = diagnose(history(curves))
    assert found.verdict == HEALTHY
    assert any("likelier" in note for note in found.notes) == (found.family_confidence < 0.5)


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


CURVE = st.lists(st.one_of(st.floats(1e-4, 50), st.sampled_from([0.5, 0.5001])), min_size=1,
                 max_size=12)  # fmt: skip
SHARES = st.lists(st.one_of(st.floats(0, 1), st.just(0.12)), min_size=12, max_size=12)
SAYS_NOTHING = re.compile(
    r"from (\d\S*(?: %)?) to \1|\bby 0\.0 %|\b0\.0 % (above|below)|is 1 times"
)


@given(train=CURVE, val=CURVE, accuracy=SHARES)
def test_no_sentence_says_nothing(
    train: list[float], val: list[float], accuracy: list[float]
) -> None:
    points = min(len(train), len(val))
    given = Curves(
        train_loss=np.array(train[:points]), val_loss=np.array(val[:points]),
        val_accuracy=np.array(accuracy[:points]), learning_rate=np.full(points, 0.01),
        num_classes=10,
    )  # fmt: skip
    found = numbers(given)
    said = [text for text in (in_words(name, found, given) for name in NAMES) if text]
    assert not [text for text in said if SAYS_NOTHING.search(text)]
    if points == 1:
        assert not [
            t for t in said if "lowest value" in t or t.endswith(" of 1.") or "best value" in t
        ]


@pytest.mark.parametrize("name", list(CLEAR))
def test_a_log_without_its_training_part_is_not_called_unstable_for_it(name: str) -> None:
    """In the corpus a training loss is missing only where a log is shown without it."""
    curves = {key: y for key, y in CLEAR[name].items() if key.startswith("val/")}
    for logged in (curves, {"val/loss": curves["val/loss"]}):
        found = diagnose(history(logged))
        assert found.family in ("", FAMILIES[name], HEALTHY), found.likely
