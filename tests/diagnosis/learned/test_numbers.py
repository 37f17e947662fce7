"""The numbers of a curve's shape, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.diagnosis.learned.numbers import NAMES, Curves, numbers

EPOCHS = np.arange(12)
FALLING = 2.0 * 0.8**EPOCHS
LOWEST = 0.7**4
RISING = np.concatenate(
    [0.7 ** np.arange(5), np.full(2, LOWEST), LOWEST * 1.2 ** np.arange(1, 6)]
)  # lowest at points 5 to 7 of 12


def test_every_number_has_its_name_and_is_missing_where_its_curve_is() -> None:
    found = numbers(Curves(train_loss=FALLING))
    assert tuple(found) == NAMES
    assert not math.isnan(found["train_fall"])
    assert all(math.isnan(found[n]) for n in ("val_fall", "gap", "val_accuracy", "learning_rate"))


def test_a_geometric_fall_has_its_logarithms() -> None:
    found = numbers(Curves(train_loss=FALLING, val_loss=FALLING))
    step = -math.log(0.8)
    assert found["train_fall"] == pytest.approx(11 * step)
    assert found["train_fall_a_point"] == pytest.approx(step)
    assert found["train_late_share"] == pytest.approx(5 / 11)
    assert found["train_noise"] == pytest.approx(0.0, abs=1e-9)
    assert found["gap"] == pytest.approx(0.0)
    assert found["val_best_at"] == 1.0


def test_validation_that_rises_while_training_falls_has_parted() -> None:
    found = numbers(Curves(train_loss=FALLING, val_loss=RISING))
    assert found["val_rise"] == pytest.approx(5 * math.log(1.2))
    assert found["train_fall_since_best"] == pytest.approx(7 * -math.log(0.8))
    assert found["parted"] == pytest.approx(5 * math.log(1.2))
    assert found["overfitting_rule"] > 0.8
    assert numbers(Curves(train_loss=FALLING, val_loss=FALLING))["overfitting_rule"] < 0.1


@pytest.mark.parametrize("unit", [0.01, 1000.0])
def test_the_unit_of_the_loss_does_not_matter(unit: float) -> None:
    one = numbers(Curves(train_loss=FALLING, val_loss=RISING))
    other = numbers(Curves(train_loss=unit * FALLING, val_loss=unit * RISING))
    for name in NAMES:
        assert other[name] == pytest.approx(one[name], abs=1e-6, nan_ok=True), name


def test_a_negative_loss_is_lifted_and_not_missing() -> None:
    found = numbers(Curves(train_loss=FALLING - 3, val_loss=FALLING - 3))
    assert found["train_fall"] > 0
    assert found["lost"] == 0.0


@pytest.mark.parametrize(
    ("values", "lost"),
    [([2.0, 1.0, math.inf], 1.0), ([2.0, math.inf, 1.0], 0.0), ([2.0, 1.0, math.nan], 0.0)],
    ids=["lost_at_the_end", "found_again", "not_logged"],
)
def test_a_loss_counts_as_lost_where_it_ends_as_infinite(values: list[float], lost: float) -> None:
    assert numbers(Curves(train_loss=np.array(values)))["lost"] == lost


def test_certain_wrong_answers_show_against_the_accuracy() -> None:
    """Somebody who knows that he is right in 90 % has a loss of -ln 0.9."""
    honest, certain = np.full(6, -math.log(0.9)), np.full(6, 1.2)
    accuracy = np.full(6, 0.9)
    low = numbers(Curves(val_loss=honest, val_accuracy=accuracy))["val_overconfidence"]
    high = numbers(Curves(val_loss=certain, val_accuracy=accuracy))["val_overconfidence"]
    assert low == pytest.approx(0.0, abs=0.15)
    assert high - low == pytest.approx(math.log(1.2 / -math.log(0.9)), abs=1e-6)


def test_guessing_among_known_classes_is_the_measure() -> None:
    at_chance = Curves(
        val_loss=np.full(5, math.log(10)), val_accuracy=np.full(5, 0.1), num_classes=10
    )
    found = numbers(at_chance)
    assert found["val_over_guessing"] == pytest.approx(0.0)
    assert found["accuracy_over_guessing"] == pytest.approx(0.0)


def test_ten_thousand_points_take_slopes_of_few() -> None:
    long = 1 / np.arange(1, 10_001)
    assert numbers(Curves(train_loss=long, val_loss=long))["train_fall"] == pytest.approx(
        math.log(10_000), rel=0.01
    )
