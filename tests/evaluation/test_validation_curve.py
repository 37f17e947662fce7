"""The validation curve, on curves whose sweet spot is known because it was planted."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluation.validation_curve import as_number, validation_curve


def planted(
    *, seed: int, n: int = 200, noise: float = 0.01, depth: float = 1.0
) -> tuple[np.ndarray, ...]:
    """A strength of regularisation: the gap grows below 0.4, the training loss above 0.6."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, n)
    train = 0.1 + depth * np.maximum(0, x - 0.6) + rng.normal(0, noise, n)
    val = train + depth * np.maximum(0, 0.4 - x) + np.abs(rng.normal(0, noise, n))
    return x, train, val


@pytest.mark.parametrize("seed", range(5))
def test_the_planted_sweet_spot_and_both_sides_are_found(seed: int) -> None:
    x, train, val = planted(seed=seed)
    curve = validation_curve(list(x), list(train), list(val))
    assert curve is not None
    assert (curve.left, curve.right) == ("overfit", "underfit")
    # To the width of a bin (an eighth of the range), it is 0.4 … 0.6.
    assert curve.bins[curve.first].low >= 0.4 - 0.14
    assert curve.bins[curve.last].high <= 0.6 + 0.14
    assert [curve.zone(v) for v in (0.05, 0.5, 0.95)] == ["overfit", "sweet spot", "underfit"]


def test_the_sides_change_places_with_the_setting_turned_round() -> None:
    x, train, val = planted(seed=0)
    curve = validation_curve(list(1 - x), list(train), list(val))
    assert curve is not None
    assert (curve.left, curve.right) == ("underfit", "overfit")


def test_a_setting_without_effect_has_no_sides_beyond_chance() -> None:
    alarms = 0
    for seed in range(40):
        x, train, val = planted(seed=seed, n=80, noise=0.05, depth=0.0)
        curve = validation_curve(list(x), list(train), list(val))
        assert curve is not None
        alarms += curve.left is not None or curve.right is not None
    assert alarms <= 5  # 2 of 40 are to be expected at a level of 5 %; more than 5 in 1 of 70 tests


def test_medians_are_those_of_the_values_by_hand() -> None:
    values = [1.0] * 6 + [2.0] * 6 + [None] * 6
    val = [5, 1, 2, 3, 4, 6] + [1] * 6 + [3] * 6
    curve = validation_curve(values, [v / 2 for v in val], val)
    assert curve is not None
    assert [b.label for b in curve.bins] == ["1", "2", "null"]
    assert [b.val.value for b in curve.bins] == [3.5, 1.0, 3.0]
    assert [b.train.value for b in curve.bins] == [1.75, 0.5, 1.5]
    assert curve.discrete
    assert curve.sweet == "2"
    assert curve.place(None) == 2
    assert curve.place(1.0) == 0
    assert curve.zone(None) == curve.right
    assert curve.place(0.0) == -1  # below what was tried
    assert curve.zone(0.0) is None
    assert curve.zone(1.0) == curve.left


def test_trials_that_did_not_tell_are_left_out_and_too_few_have_no_curve() -> None:
    x, train, val = planted(seed=0, n=30)
    val[:5] = np.nan
    curve = validation_curve(list(x), list(train), list(val))
    assert curve is not None
    assert sum(b.val.n for b in curve.bins) == 25
    assert validation_curve(list(x[:15]), list(train[:15]), list(val[:15])) is None
    assert validation_curve([1.0] * 30, list(train), list(val)) is None


@pytest.mark.parametrize("value", ["adam", True])
def test_names_and_flags_are_no_numbers(value: object) -> None:
    with pytest.raises(TypeError):
        as_number(value)
