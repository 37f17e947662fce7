"""The numbers that the network's signals show, on arrays made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.diagnosis.measured import Measured, Unmeasured
from pipeline.diagnosis.measured_run import MeasuredRun
from pipeline.diagnosis.signal_measures import (
    cut_time_step_share,
    fallen_silent_share,
    gradient_depth_ratio,
    largest_update_ratio,
    num_silent_units,
    penalty_gradient_share,
    silent_unit_share,
    typical_update_ratio,
    weight_growth,
)
from planted_history import EPOCHS, LAYERS, history

TIME = 14


def run(**arrays: Any) -> MeasuredRun:
    return MeasuredRun(history(**arrays))


def value(found: Measured | Unmeasured) -> float:
    assert isinstance(found, Measured)
    return found.value


def test_depth_is_judged_from_the_first_layer_to_the_last_hidden_one() -> None:
    norms = np.tile([1e-4, 1e-3, 1e-2, 5.0], (EPOCHS + 1, 1))
    assert value(gradient_depth_ratio(run(layers__gradient_norm=norms))) == pytest.approx(1e-2)


def test_the_update_is_that_of_the_median_layer() -> None:
    ratios = np.tile([1e-3, 3e-3, 3e-3, 9e-3], (EPOCHS + 1, 1))
    ratios[4] *= 10
    measured = run(layers__last_update_ratio=ratios)
    assert value(largest_update_ratio(measured)) == pytest.approx(3e-2)
    assert value(typical_update_ratio(measured)) == pytest.approx(3e-3)


def test_the_growth_is_that_of_the_layer_that_grew_most() -> None:
    norms = np.full((EPOCHS + 1, LAYERS), 10.0)
    norms[1:, 2] = 45.0
    assert value(weight_growth(run(layers__weight_norm=norms))) == pytest.approx(4.5)


def test_a_penalty_is_judged_by_its_usual_share_and_not_by_that_of_one_epoch() -> None:
    shares = np.append(np.full(EPOCHS, 0.02), 0.5)
    found = penalty_gradient_share(run(penalty_gradient_share=shares))
    assert isinstance(found, Measured)
    assert found.value == pytest.approx(0.02)
    assert found.epochs == (1, EPOCHS)


def test_a_unit_is_silent_only_at_both_of_the_last_moments() -> None:
    dead = np.zeros((EPOCHS + 1, LAYERS - 1))
    dead[-2:, 1], dead[-1, 2] = (0.4, 0.3), 0.9
    found = silent_unit_share(run(units__dead=dead))
    assert isinstance(found, Measured)
    assert found.value == pytest.approx(0.3)
    assert found.words == "share of silent units in relu1"
    assert value(num_silent_units(run(units__dead=dead))) == pytest.approx(30)


def test_units_that_were_silent_before_training_did_not_fall_silent() -> None:
    dead = np.full((EPOCHS + 1, LAYERS - 1), 0.7)
    dead[0] = 0.5
    assert value(fallen_silent_share(run(units__dead=dead))) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("norms", "share"),
    [
        (np.append(np.zeros(TIME - 1), 0.9), (TIME - 1) / TIME),
        (np.geomspace(1e-12, 1.0, TIME), 0.0),
        (np.append(0.0, np.geomspace(1e-38, 1.0, TIME - 1)), 0.0),
        (np.zeros(TIME), 0.0),
    ],
    ids=["cut off", "fading", "faded to zero in 32 bits", "no gradient at all"],
)
def test_a_gradient_is_cut_where_it_is_zero_beside_a_sizeable_one(
    norms: np.ndarray, share: float
) -> None:
    measured = run(time_step__gradient_norm=np.tile(norms, (EPOCHS + 1, 1)))
    assert value(cut_time_step_share(measured)) == pytest.approx(share)


def test_without_signals_the_missing_option_is_named() -> None:
    found = largest_update_ratio(run(signals=False))
    assert found == Unmeasured("the network's signals (signals=standard)")
