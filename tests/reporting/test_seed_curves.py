"""Curves over several seeds: mean and band from numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import DataError
from pipeline.records import EpochRecord
from pipeline.reporting.seed_curves import mean_and_spread, plot


def run(*losses: float) -> list[EpochRecord]:
    return [EpochRecord(i, i + 1, {"val/loss": loss}) for i, loss in enumerate(losses)]


def test_mean_and_spread_of_each_epoch() -> None:
    mean, spread = mean_and_spread([run(3.0, 1.0), run(1.0, 1.0)], "val/loss")
    assert mean.tolist() == [2.0, 1.0]
    assert spread == pytest.approx([2**0.5, 0.0])


def test_an_epoch_that_one_run_lacks_is_that_of_the_others() -> None:
    mean, spread = mean_and_spread([run(3.0, 5.0), run(1.0, np.inf), run(2.0)], "val/loss")
    assert mean.tolist() == [2.0, 5.0]
    assert np.isnan(spread[1])


def test_the_picture_has_the_line_of_the_means() -> None:
    loss = plot([run(3.0, 1.0), run(1.0, 0.0)]).axes[0]
    (line,) = loss.lines
    assert np.asarray(line.get_ydata()).tolist() == [2.0, 0.5]
    assert len(loss.collections) == 1


def test_no_epoch_is_refused() -> None:
    with pytest.raises(DataError, match="no epoch"):
        plot([[], []])
