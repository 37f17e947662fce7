"""The range test on quadratics, whose largest stable rate is 2 / L by closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.optim.rate_range import HALVINGS, RATIO, find_rates

# The last stable rate lies below the edge by at most the gap that the halvings leave.
RESOLUTION = RATIO ** (1 / 2**HALVINGS)


def descent(curvatures: np.ndarray, *, steps: int) -> Callable[[float], float]:
    """Gradient descent on ``sum(c x²) / 2`` from ones: a rate → the loss at the end."""

    def run(rate: float) -> float:
        with np.errstate(over="ignore"):
            return float((curvatures * (1 - rate * curvatures) ** (2 * steps)).sum() / 2)

    return run


@pytest.mark.parametrize("start", [1e-4, 0.01, 1.0, 30.0])
@pytest.mark.parametrize(
    "curvatures",
    [
        pytest.param([3.0], id="one_direction"),
        pytest.param([0.01, 0.1, 1.0, 40.0], id="badly_conditioned"),
        pytest.param(np.linspace(0.1, 7.0, 30), id="many"),
    ],
)
def test_the_largest_stable_rate_of_a_quadratic_is_two_over_its_curvature(
    curvatures: list[float], start: float
) -> None:
    spectrum = np.asarray(curvatures)
    run = descent(spectrum, steps=500)
    found = find_rates(run, start=start, before=run(0.0))
    edge = 2 / spectrum.max()
    assert found.largest_stable is not None and found.lowest_unstable is not None
    assert edge / RESOLUTION / 1.02 <= found.largest_stable <= edge * 1.02
    assert found.lowest_unstable / found.largest_stable <= RESOLUTION * 1.001


def test_the_suggestion_is_near_the_best_rate_of_a_quadratic() -> None:
    """In one direction 1 / L ends at the minimum, so the nearest rate of the grid is the best."""
    run = descent(np.array([3.0]), steps=10)
    found = find_rates(run, start=0.01, before=run(0.0))
    assert found.suggested is not None
    assert abs(math.log(found.suggested * 3.0)) <= math.log(RATIO)


def test_the_suggestion_keeps_its_distance_from_the_edge() -> None:
    """A loss that falls with the rate up to a cliff at 1: never on the cliff's edge."""
    found = find_rates(lambda r: 1 / (1 + r) if r < 1 else math.inf, start=0.13, before=1.0)
    assert found.largest_stable is not None and found.suggested is not None
    assert found.suggested <= found.largest_stable / 2
    assert {t.loss for t in found.tried if t.rate > 1} == {math.inf}


def test_where_no_rate_lowers_the_loss_none_is_suggested() -> None:
    found = find_rates(lambda _: 1.0, start=0.1, before=1.0)
    assert (found.largest_stable, found.suggested) == (None, None)


def test_where_every_rate_is_stable_the_best_one_is_suggested() -> None:
    found = find_rates(lambda r: abs(math.log(r / 0.01)), start=1.0, before=100.0)
    assert found.lowest_unstable is None
    assert found.suggested is not None
    assert abs(math.log(found.suggested / 0.01)) <= math.log(RATIO)


def test_every_rate_is_tried_once() -> None:
    tried: list[float] = []

    def run(rate: float) -> float:
        tried.append(rate)
        return descent(np.array([3.0]), steps=20)(rate)

    find_rates(run, start=1e-3, before=1.5)
    assert len(tried) == len(set(tried)) < 40
