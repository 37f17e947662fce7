"""Gradients over depth and time, from signals that are written by hand."""

from __future__ import annotations

import numpy as np

from pipeline.records import SignalRecord
from pipeline.runs.gradients import by_layer, by_time_step, first_to_last
from written_runs import gradient_signals


def test_gradients_of_layers_are_divided_by_the_root_of_their_number_of_weights() -> None:
    values = by_layer(gradient_signals([[8.0, 3.0], [2.0, 6.0]], [16, 9]))
    assert values is not None
    np.testing.assert_allclose(values, [[2.0, 1.0], [0.5, 2.0]])


def test_gradients_over_time_have_a_column_a_time_step() -> None:
    values = by_time_step(gradient_signals([[1.0], [1.0]], [1], num_time_steps=3))
    assert values is not None
    np.testing.assert_allclose(values, [[1e-6, 1e-3, 1.0]] * 2)


def test_signals_without_layers_have_no_gradients_by_layer() -> None:
    assert by_layer(SignalRecord({}, {})) is None
    assert by_layer(gradient_signals([[]], [])) is None


def test_signals_of_a_network_without_time_steps_have_no_gradients_over_time() -> None:
    assert by_time_step(gradient_signals([[1.0]], [1])) is None


def test_the_ratio_of_first_to_last_is_that_before_the_first_step() -> None:
    assert first_to_last(np.array([[0.5, 7.0, 2.0], [9.0, 9.0, 9.0]])) == 0.25


def test_there_is_no_ratio_to_a_last_gradient_of_zero() -> None:
    assert first_to_last(np.array([[1.0, 0.0]])) is None
