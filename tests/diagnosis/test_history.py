"""Histories that cannot be one are refused."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.diagnosis import History
from pipeline.errors import DataError


@pytest.mark.parametrize(
    ("epochs", "curves", "word"),
    [
        (0, {"val/loss": []}, "no epoch"),
        (3, {"val/loss": [1.0, 0.9]}, "2 values for 3 epochs"),
        (2, {"speed": [1.0, 0.9]}, "no known curve"),
        (2, {}, "no known curve"),
    ],
)
def test_a_history_without_epochs_or_curves_is_refused(
    epochs: int, curves: dict[str, list[float]], word: str
) -> None:
    with pytest.raises(DataError, match=word):
        History(np.arange(epochs), {k: np.array(v) for k, v in curves.items()})


def test_epochs_that_go_back_are_refused() -> None:
    with pytest.raises(DataError, match="must increase"):
        History(np.array([0, 2, 1]), {"val/loss": np.ones(3)})
