"""The learning curves: what was measured, and the best epoch."""

from __future__ import annotations

import math

import numpy as np

from drawn import HISTORY, texts
from pipeline.records import EpochRecord
from pipeline.reporting import learning_curves


def titles(rows: list[EpochRecord]) -> list[str]:
    return [axes.get_title(loc="left") for axes in learning_curves.plot(rows).axes]


def test_the_lowest_validation_loss_is_marked() -> None:
    figure = learning_curves.plot(HISTORY)
    assert len(figure.axes) == 2
    assert "best epoch 2: 0.4" in texts(figure)
    curves = [line.get_ydata() for line in figure.axes[0].lines]
    assert any(np.array_equal(curve, [1.0, 0.4, 0.6]) for curve in curves)


def test_only_measured_numbers_are_drawn() -> None:
    metrics = {"learning_rate": 0.1, "val/loss": 1.0}
    rows = [EpochRecord(epoch=i, step=i, metrics=metrics) for i in range(2)]
    assert titles(rows) == ["Loss (nats)", "Learning rate"]


def test_losses_that_are_not_finite_have_no_best_epoch() -> None:
    metrics = {"train/loss": math.nan, "val/loss": math.inf}
    figure = learning_curves.plot([EpochRecord(epoch=0, step=1, metrics=metrics)])
    assert not any("best epoch" in text for text in texts(figure))
