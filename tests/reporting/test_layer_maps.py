"""The maps of layers over epochs: gradients and dead units."""

from __future__ import annotations

import numpy as np
import pytest

from drawn import SIGNALS, draw_gradients
from pipeline.reporting import layer_maps


def test_gradients_are_divided_by_the_root_of_the_number_of_weights() -> None:
    gradients = layer_maps.gradient_map(SIGNALS)
    assert gradients is not None
    assert (gradients.names, gradients.epochs.tolist()) == (["first", "output"], [0, 1, 2, 3])
    assert gradients.values[0] == pytest.approx([1.0, 0.1, 0.01, 0.0])
    assert gradients.values[1] == pytest.approx([1.0, np.nan, 0.1, 0.1], nan_ok=True)


def test_dead_units_are_a_share_of_each_layer() -> None:
    dead = layer_maps.dead_unit_map(SIGNALS)
    assert dead is not None and dead.values.tolist() == [[0.0, 0.25, 0.5, 0.5]]


def test_a_gradient_that_is_zero_or_missing_has_no_colour() -> None:
    colours = draw_gradients().axes[0].collections[0].get_array()
    assert np.ma.getmaskarray(colours).tolist() == [
        [False, False, False, True],
        [False, True, False, False],
    ]
