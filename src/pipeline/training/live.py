"""One line while a training goes on, once a fault has become certain."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Checkpoint

from pipeline.diagnosis import Context, History
from pipeline.diagnosis.live import LiveJudge
from pipeline.records import EpochRecord
from pipeline.training.moments import Moment
from pipeline.training.recorder import Recorder

Say = Callable[[str], object]


class LiveVerdict:
    """Judges a training by its epochs so far, and says each alarm once.

    num_classes: of the data.  resumed_from: epochs that a killed process had trained; what it
    said is not said again.
    """

    def __init__(self, say: Say, *, num_classes: int | None, resumed_from: int = 0) -> None:
        self._say = say
        self._context = Context(num_classes=num_classes, train_curve="evaluation")
        self._resumed_from = resumed_from
        self._judge = LiveJudge()

    def see(self, rows: Sequence[EpochRecord]) -> None:
        """Look at the epochs since the last call. rows: all epochs of the training."""
        history = History.of(rows, None, self._context, name="this training")
        for alarm in self._judge.see(history):
            if alarm.epoch > self._resumed_from:
                self._say(alarm.line)


class LiveLine(Checkpoint):
    """Prints the line of a training of our own; stands behind the recorder whose epochs it reads.

    The numbers are those of the history: both parts in evaluation mode.
    """

    def __init__(self, recorder: Recorder, *, num_classes: int) -> None:
        self._recorder = recorder
        self._num_classes = num_classes
        self._live: LiveVerdict | None = None

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Judge the epoch that has just been recorded."""
        if not trainer.is_global_zero:
            return
        if self._live is None:
            self._live = LiveVerdict(
                _print, num_classes=self._num_classes, resumed_from=self._recorder.resumed_from
            )
        self._live.see(self._recorder.history)


def _print(line: str) -> None:
    print(line, flush=True)


def epochs_of(moments: Sequence[Moment]) -> list[EpochRecord]:
    """Return losses and accuracies of the moments after an epoch, on the sample's images.

    A loss that is not finite is infinite, so that it counts as lost.
    """
    return [_epoch_of(moment) for moment in moments if int(moment["epochs"]) >= 0]


def _epoch_of(moment: Moment) -> EpochRecord:
    metrics: dict[str, float] = {}
    for part in ("train", "val"):
        losses = moment[f"{part}/loss_per_example"]
        if len(losses):
            loss = float(losses.double().mean())
            metrics[f"{part}/loss"] = loss if math.isfinite(loss) else math.inf
            metrics[f"{part}/accuracy"] = float(moment[f"{part}/correct"].double().mean())
    return EpochRecord(int(moment["epochs"]), int(moment["steps"]), metrics)
