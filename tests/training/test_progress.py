"""The line of an epoch, and the bar within it."""

from __future__ import annotations

import pytest

from pipeline.records import EpochRecord
from pipeline.training.progress import EpochBar, epoch_line


def epoch(number: int, *, accuracy: float, rate: float) -> EpochRecord:
    metrics = {"train/loss": 0.0177, "train/accuracy": accuracy, "val/loss": 0.09}
    metrics |= {"val/accuracy": 0.97544, "learning_rate": rate, "time/images_per_s": 19_941.4}
    return EpochRecord(epoch=number - 1, step=430 * number, metrics=metrics)


def test_the_line_counts_epochs_from_1_and_names_both_parts() -> None:
    line = epoch_line(epoch(1, accuracy=0.9948, rate=1e-3), max_epochs=10)
    assert line == ("epoch   1/10  train 0.0177 99.48%  val 0.0900 97.54%  lr 0.001  19,941 img/s")


@pytest.mark.parametrize("number", [7, 100])
def test_the_line_fits_a_terminal_of_80_columns(number: int) -> None:
    line = epoch_line(epoch(number, accuracy=1.0, rate=1.25e-5), max_epochs=100)
    assert len(line) <= 80


def test_the_bar_counts_epochs_from_1() -> None:
    class Trainer:
        max_epochs = 10

    class Bar(EpochBar):
        trainer = Trainer()
        validation_description = "Validation"

    assert Bar()._get_train_description(0) == "Epoch 1/10"
