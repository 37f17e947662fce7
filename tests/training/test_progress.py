"""The line of an epoch, and the bar within it."""

from __future__ import annotations

import pytest

from pipeline.records import EpochRecord
from pipeline.training.progress import EpochBar, epoch_line


def epoch(number: int, *, accuracy: float, rate: float) -> EpochRecord:
    metrics = {"train/loss": 0.0177, "train/accuracy": accuracy, "val/loss": 0.09}
    metrics |= {"val/accuracy": 0.97544, "learning_rate": rate, "time/images_per_s": 19_941.4}
    return EpochRecord(epoch=number - 1, step=430 * number, metrics=metrics)


def test_the_line_counts_epochs_from_1_and_names_each_number() -> None:
    line = epoch_line(epoch(1, accuracy=0.9948, rate=1e-3), max_epochs=10, width=100)
    assert line == (
        "epoch  1/10  train loss 0.0177 acc 99.48%  val loss 0.0900 acc 97.54%  lr 0.001"
        "  19,941 img/s"
    )


@pytest.mark.parametrize(("width", "ends"), [(100, "19,941 img/s"), (80, "lr 0.001")])
def test_the_line_fits_its_terminal(width: int, ends: str) -> None:
    line = epoch_line(epoch(7, accuracy=0.9948, rate=1e-3), max_epochs=10, width=width)
    assert line.endswith(ends)
    assert len(line) <= width


def test_the_longest_line_fits_100_columns() -> None:
    line = epoch_line(epoch(100, accuracy=1.0, rate=1.25e-5), max_epochs=100, width=100)
    assert line.endswith("img/s")
    assert len(line) <= 100


def test_the_bar_counts_epochs_from_1() -> None:
    class Trainer:
        max_epochs = 10

    class Bar(EpochBar):
        trainer = Trainer()
        validation_description = "Validation"

    assert Bar()._get_train_description(0) == "Epoch 1/10"
