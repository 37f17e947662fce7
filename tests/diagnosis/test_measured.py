"""A measured number against its limit, and the ways to join conditions."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pipeline.diagnosis.measured import (
    Claim,
    Measured,
    Unmeasured,
    all_of,
    any_of,
    first_measured,
    if_measured,
    probability,
)


def claim(value: float, *, key: str = "") -> Claim:
    """A claim whose probability is Φ(value)."""
    return Measured(value, key=key).above(0.0, grey=1.0)


def keys(claim: Claim) -> list[str]:
    assert not isinstance(claim, Unmeasured)
    return [c.key for c in claim]


@pytest.mark.parametrize(
    ("measured", "wanted", "grey", "expected"),
    [
        (Measured(1.0), "above", 0.1, 0.5),
        (Measured(1.1), "above", 0.1, 0.8413),
        (Measured(1.1), "below", 0.1, 0.1587),
        (Measured(1.5, 0.4), "above", 0.3, 0.8413),  # the triangle of sides 3, 4 and 5
        (Measured(math.e, log=True), "above", 1.0, 0.8413),
        (Measured(0.0, log=True), "below", 1.0, 1.0),
        (Measured(math.inf, log=True), "above", 1.0, 1.0),
        (Measured(-math.inf), "above", 1.0, 0.0),
    ],
)
def test_the_probability_of_a_condition_is_normal(
    measured: Measured, wanted: Any, grey: float, expected: float
) -> None:
    condition = measured.condition(wanted, 1.0, grey=grey)
    assert condition.probability == pytest.approx(expected, abs=1e-4)


def test_the_interval_of_a_logarithm_is_a_factor() -> None:
    condition = Measured(2.0, 0.1, log=True).condition("above", 1.0, grey=1.0)
    assert condition.high / 2.0 == pytest.approx(math.exp(0.196))
    assert condition.low * condition.high == pytest.approx(4.0)


def test_a_number_that_is_nan_is_unmeasured() -> None:
    assert Measured(math.nan, words="the loss").above(1.0, grey=1.0) == Unmeasured("the loss")


def test_any_of_is_the_claim_whose_weakest_condition_is_strongest() -> None:
    strong, weak, middle = claim(3.0, key="strong"), claim(-1.0, key="weak"), claim(0.5, key="one")
    assert keys(any_of(all_of(strong, weak), middle)) == ["one"]


def test_any_of_leaves_out_what_was_not_measured() -> None:
    assert keys(any_of(Unmeasured("signals"), claim(-3.0, key="curve"))) == ["curve"]
    lacking = any_of(Unmeasured("signals"), Unmeasured("classes"), Unmeasured("signals"))
    assert lacking == Unmeasured("signals or classes")


def test_all_of_needs_every_claim_and_names_the_first_that_lacks() -> None:
    first, second = claim(1.0, key="a"), claim(2.0, key="b")
    assert keys(all_of(first, second)) == ["a", "b"]
    assert all_of(first, Unmeasured("x"), Unmeasured("y")) == Unmeasured("x")


def test_all_of_is_as_probable_as_its_weakest_condition() -> None:
    both = all_of(claim(1.0), claim(0.0))
    assert not isinstance(both, Unmeasured)
    assert probability(both) == pytest.approx(0.5)


def test_a_condition_that_is_only_asked_if_measured_never_blocks() -> None:
    assert if_measured(Unmeasured("signals")) == ()
    assert keys(if_measured(claim(1.0, key="a"))) == ["a"]


def test_the_first_measured_claim_is_taken_even_where_a_later_one_is_more_probable() -> None:
    found = first_measured(Unmeasured("x"), claim(-1.0, key="first"), claim(2.0, key="second"))
    assert keys(found) == ["first"]
    assert first_measured(Unmeasured("x"), Unmeasured("y")) == Unmeasured("y")
