"""Gradients of a network over its depth and over time, from the signals of a run."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np

from pipeline.records import SignalRecord

# Each returns ``[E, P]`` of E moments and P places, or None where it was not measured.
GradientMeasure = Callable[[SignalRecord], np.ndarray | None]


def by_layer(signals: SignalRecord) -> np.ndarray | None:
    """Gradient norm of each layer divided by √(number of its weights), ``[E, L]`` float64.

    The division makes layers of different sizes comparable.
    """
    if "layers/gradient_norm" not in signals.arrays or not json.loads(signals.metadata["layers"]):
        return None
    norms = signals.arrays["layers/gradient_norm"].astype(np.float64)
    return np.asarray(norms / np.sqrt(signals.arrays["layers/num_weights"]))


def by_time_step(signals: SignalRecord) -> np.ndarray | None:
    """Norm of the loss's gradient by the state at each time step, ``[E, T]`` float64."""
    norms = signals.arrays.get("time_step/gradient_norm")
    return None if norms is None or norms.shape[1] == 0 else norms.astype(np.float64)


def first_to_last(values: np.ndarray) -> float | None:
    """Gradient at the first place relative to the last, before the first step.

    values: ``[E, P]``.  None where the gradient at the last place is 0.
    """
    before_training = values[0]
    if not before_training[-1] > 0:
        return None
    return float(before_training[0] / before_training[-1])
